#pragma once

#include <mla_scale/tensor/dtype.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace mla_scale::compare {

/// How a healthy kernel rounds on its way, tightest first.
enum class Level {
  exact,         ///< float32 products and sums; only the output is rounded
  tf32,          ///< float32 inputs through TF32 tensor cores: q, k, p and v rounded to 10 bits
  flash,         ///< probabilities rounded to the dtype before P·V
  rounded_query, ///< also scale · q rounded to the dtype before Q·Kᵀ
  fp8,           ///< probabilities rounded to e4m3
  eager,         ///< logits rounded to the dtype before and after the scale (transformers' eager)
};

/// "exact", "tf32", "flash", "rounded_query", "fp8", "eager".
[[nodiscard]] std::string_view to_string(Level level);

/// One line for a reader.
[[nodiscard]] std::string_view describe(Level level);

/// The dtypes a kernel worked in, as far as the capture shows them.
struct ComputeDtypes {
  tensor::Dtype input = tensor::Dtype::f32;  ///< of q, k, v: the narrowest that holds all values
  tensor::Dtype output = tensor::Dtype::f32; ///< of out
};

/// Levels that a kernel of these dtypes can have, tightest first.
[[nodiscard]] std::vector<Level> levels_for(const ComputeDtypes& dtypes);

/// `value` rounded to nearest-even in `dtype`; f64 leaves it alone, integers are not rounded to.
/// Overflow gives infinity (e4m3fn: NaN past 464, else the largest number, 448).
[[nodiscard]] double round_to(tensor::Dtype dtype, double value);

/// The dtype that a floating tensor was computed in: its own, or for f64 / f32 the narrower one of
/// f32, f16 and bf16 that holds every one of its values.
[[nodiscard]] tensor::Dtype effective_dtype(const tensor::View3& view);

} // namespace mla_scale::compare
