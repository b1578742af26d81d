#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/mapped_file.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mla_scale::tensor {

/// The widths that tell a capture's layout, taken from a model's config. `tensor` knows nothing of
/// models.
struct Geometry {
  std::int64_t num_attention_heads = 0;
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t v_head_dim = 0;

  [[nodiscard]] std::int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
};

/// One request of a varlen batch: half-open ranges of rows of q / out and of k / v. Key row j of
/// the sequence is seen by query row i when j - key_begin <= i - query_begin + (key rows - query
/// rows): causal, bottom-right aligned.
struct Sequence {
  std::int64_t query_begin = 0;
  std::int64_t query_end = 0;
  std::int64_t key_begin = 0;
  std::int64_t key_end = 0;
};

/// What a tensor of a capture is, after its name and layout were understood.
struct CaptureTensor {
  std::string name;      ///< as in the file
  std::string canonical; ///< "q", "kv_c", ...; empty when not used
  std::string file;
  std::string dtype;
  std::vector<std::int64_t> shape;
};

enum class LseBase { natural, two };

/// A GPU's attention inputs and outputs, merged from one or more files, in canonical orientation.
///
/// Names, aliases and shapes: design.md section 2, "Capture". Batched layouts become one Sequence a
/// batch entry.
struct Capture {
  std::vector<std::string> files;
  std::vector<std::shared_ptr<const MappedFile>> mapped; ///< the same files, kept open
  std::vector<CaptureTensor> tensors;
  std::string layout; ///< for example "[T,H,D]" or "[B,H,T,D]"
  std::string level;  ///< "expanded", "latent" or "expanded+latent"; "none" when inputs are missing

  std::optional<View3> q;    ///< [Tq, H, qk_head_dim] after RoPE, nope first
  std::optional<View3> k;    ///< [Tk, H, qk_head_dim]
  std::optional<View3> v;    ///< [Tk, H, v_head_dim]
  std::optional<View3> kv_c; ///< [Tk, 1, kv_lora_rank]
  std::optional<View3> k_pe; ///< [Tk, 1, qk_rope_head_dim] after RoPE
  std::optional<View3>
      w_uk; ///< [qk_nope_head_dim, H, kv_lora_rank]: k_nope[h] = w_uk[:, h, :] · kv_c
  std::optional<View3> w_uv;     ///< [v_head_dim, H, kv_lora_rank]
  std::optional<View3> q_pre;    ///< [Tq, H, qk_head_dim or qk_rope_head_dim] before RoPE
  std::optional<View3> k_pe_pre; ///< [Tk, 1, qk_rope_head_dim] before RoPE
  std::optional<View3> out;      ///< [Tq, H, v_head_dim]
  std::optional<View3>
      out_padding; ///< [Tq, H, qk_head_dim - v_head_dim] when out came padded: must be zero
  std::optional<View3> lse; ///< [Tq, H, 1]
  LseBase lse_base = LseBase::natural;
  std::vector<std::int64_t> positions_q; ///< empty when not captured
  std::vector<std::int64_t> positions_k;
  std::vector<Sequence> sequences;
  std::optional<double> declared_softmax_scale; ///< a scalar the GPU side wrote down; reported,
                                                ///< never used as reference

  std::int64_t heads = 0; ///< heads in the capture: all of the config's or a divisor slice
  std::int64_t query_rows = 0;
  std::int64_t key_rows = 0;
  std::vector<std::string> missing; ///< canonical names that would be needed and are not there
  std::vector<std::string> notes;   ///< decisions worth telling, such as "lse read as [Tq, H]"
};

struct CaptureOptions {
  std::string
      layout; ///< settles what the shapes leave open: "thd", "bthd", "bhtd"; empty for automatic
};

/// Reads, merges and orients the tensors of `files` (files or directories of files).
/// Errors: not_found, unreadable, syntax (with the tensor's name in `pointer`), schema for shapes
/// that contradict the geometry or each other, unsupported for dtypes and pickle opcodes outside
/// the allowed set.
[[nodiscard]] Result<Capture> read_capture(const std::vector<std::filesystem::path>& files,
                                           const Geometry& geometry,
                                           const CaptureOptions& options = {});

/// The same for tensors that are in memory, named as in a file. Errors: schema and usage, as above.
[[nodiscard]] Result<Capture> capture_of(std::vector<std::shared_ptr<const Tensor>> tensors,
                                         const Geometry& geometry,
                                         const CaptureOptions& options = {});

/// To be asked once all values were used. Error: unreadable when one of the files is not what it
/// was when it was opened: the GPU side still writes, and half of what was read is from before.
[[nodiscard]] Result<void> check_unchanged(const Capture& capture);

} // namespace mla_scale::tensor
