#pragma once

#include "capture_files.hpp"

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

/// The small tensors of a capture: indices, scalars, scales.
namespace mla_scale::tensor {

/// Error: schema, of this tensor.
[[nodiscard]] Error wrong(const Tensor& tensor, std::string message);

/// The tensor of that canonical name, or nullptr when the capture has none. NumPy knows neither
/// bf16 nor fp8: unsigned integers are taken for their bits, with a note. Error: schema for other
/// integers.
[[nodiscard]] Result<std::shared_ptr<const Tensor>> find_floating(const CaptureFiles& files,
                                                                  std::string_view canonical,
                                                                  std::vector<std::string>& notes);

/// All elements of an integer tensor in C order. Error: schema when it is not of integers.
[[nodiscard]] Result<std::vector<std::int64_t>> read_integers(const Tensor& tensor);

/// All elements of a tensor in C order. Error: schema above 65536 elements.
[[nodiscard]] Result<std::vector<double>> read_numbers(const Tensor& tensor);

/// The number in a tensor of one element, or in metadata, under that canonical name.
/// Errors: schema when it is not one finite number.
[[nodiscard]] Result<std::optional<double>> find_scalar(const CaptureFiles& files,
                                                        std::string_view canonical);

/// Natural unless a tensor or metadata named lse_base, or else metadata whose key holds "lse",
/// says base 2. A note for such metadata that names no base. Error: schema for another lse_base.
[[nodiscard]] Result<LseBase> find_lse_base(const CaptureFiles& files,
                                            std::vector<std::string>& notes);

/// Requests from cu_seqlens, else one for each of `batches` entries.
/// Errors: schema when offsets fall, start above 0 or pass the last row.
[[nodiscard]] Result<std::vector<Sequence>>
find_sequences(const CaptureFiles& files, std::int64_t batches, std::int64_t query_rows,
               std::int64_t key_rows, std::vector<std::string>& notes);

/// Positions of query and key rows, from positions_q, positions_k or positions for both; empty
/// where not captured. A list for one batch entry stands for all. Errors: schema when the count is
/// not that of the rows.
[[nodiscard]] Result<void> find_positions(const CaptureFiles& files, std::int64_t batches,
                                          Capture& capture);

/// True when the capture holds a scale that apply_scales() takes for the tensor of that canonical
/// name.
[[nodiscard]] bool has_scale(const Capture& capture, std::string_view canonical);

/// Multiplies fp8 views by their scale tensors: q_scale, k_scale, v_scale, kv_scale, <name>_scale.
/// Errors: schema for a scale that is neither one number nor one for each head.
[[nodiscard]] Result<void> apply_scales(const CaptureFiles& files, Capture& capture);

} // namespace mla_scale::tensor
