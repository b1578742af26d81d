#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/kernel.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace mla_scale::reference {

/// Which tensors the attention is computed from.
enum class Form {
  expanded, ///< q, k, v
  latent,   ///< q, kv_c, k_pe; [k_nope | v] = kv_b_proj · kv_c
  absorbed, ///< q, kv_c, k_pe; q_nope · W_UK against kv_c, then W_UV: what a decode kernel does
};

/// "expanded", "latent", "absorbed".
[[nodiscard]] std::string_view to_string(Form form);

enum class Precision {
  f64, ///< everything in float64
  f32, ///< products in float32, softmax sums in float64
};

/// One attention to compute: where the inputs are and every number that enters. All row and head
/// indices are those of the capture's tensors.
struct Problem {
  tensor::View3 q;                   ///< [Tq, H, qk_head_dim]
  std::optional<tensor::View3> k;    ///< [Tk, H, qk_head_dim]; or [Tk, 1, qk_head_dim]
  std::optional<tensor::View3> v;    ///< [Tk, H, v_head_dim]; or [Tk, 1, v_head_dim]
  std::optional<tensor::View3> kv_c; ///< [Tk, 1, kv_lora_rank]
  std::optional<tensor::View3> k_pe; ///< [Tk, 1, qk_rope_head_dim]
  std::optional<tensor::View3> w_uk; ///< [qk_nope_head_dim, H, kv_lora_rank]
  std::optional<tensor::View3> w_uv; ///< [v_head_dim, H, kv_lora_rank]
  std::vector<tensor::Sequence> sequences;
  std::int64_t qk_rope_head_dim = 0; ///< the last columns of q and k

  Form form = Form::expanded;
  double softmax_scale = 0.0;        ///< logits are softmax_scale · factor_i · <q_i, k_j>
  std::vector<double> query_factors; ///< factor_i, one for each query row; empty: 1
  std::vector<double> sinks;  ///< logit of a key without value, one for each head; empty: none
  bool causal = true;         ///< bottom-right aligned
  std::int64_t key_chunk = 0; ///< keys a chunk, chunks merged by their lse; 0: one pass
  /// Keys that all heads walk before the next ones, see keys_per_block(). 0: chosen by size. The
  /// result does not depend on it.
  std::int64_t key_block = 0;

  std::vector<std::int64_t> heads; ///< ascending; empty: all
  std::vector<std::int64_t> rows;  ///< query rows, ascending; empty: all
  Precision precision = Precision::f64;
  int threads = 0;                ///< 0: one for each processor. The result does not depend on it.
  const Kernel* kernel = nullptr; ///< null: that of chosen_kernel(). Results agree to rounding.

  [[nodiscard]] std::int64_t nope_width() const;
  [[nodiscard]] std::int64_t v_width() const;
  [[nodiscard]] std::vector<std::int64_t> chosen_heads() const;
  [[nodiscard]] std::vector<std::int64_t> chosen_rows() const;
  /// The sequence that a query row belongs to, or nothing for a row between sequences.
  [[nodiscard]] std::optional<tensor::Sequence> sequence_of(std::int64_t row) const;
  /// Number of keys, from the sequence's first, that query row `row` of `sequence` sees.
  [[nodiscard]] std::int64_t visible_keys(const tensor::Sequence& sequence, std::int64_t row) const;
  /// `kernel`, or the one that it stands for. \pre validate()
  [[nodiscard]] const Kernel& kernel_in_use() const;
  /// softmax_scale · factor of the row.
  [[nodiscard]] double row_scale(std::int64_t row) const;
};

/// The problem that a capture poses, in one form.
/// Errors: schema when a tensor the form needs is missing or has another shape than the others.
[[nodiscard]] Result<Problem> make_problem(const tensor::Capture& capture, Form form,
                                           double softmax_scale, std::int64_t qk_rope_head_dim);

/// Checks that the shapes fit each other and that heads, rows and sequences are in range.
/// Errors: schema, naming the tensor; usage for a head or row outside, or a scale that is not a
/// finite number, or MLA_SCALE_KERNEL naming no kernel of this machine.
[[nodiscard]] Result<void> validate(const Problem& problem);

/// Llama-4 attention temperature of each query: 1 + beta · ln(1 + floor(position / original)),
/// with positions in tokens (transformers models/mistral4/modeling_mistral4.py,
/// get_llama_4_attn_scale).
[[nodiscard]] std::vector<double> llama_4_factors(const std::vector<std::int64_t>& positions,
                                                  double beta, double original_length);

/// Position of each query row: the captured ones, else the row's place among the keys of its
/// sequence (bottom-right).
[[nodiscard]] std::vector<std::int64_t> query_positions(const tensor::Capture& capture);

} // namespace mla_scale::reference
