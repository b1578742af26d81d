#pragma once

#include <mla_scale/tensor/dtype.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mla_scale::compare {

/// How a healthy kernel rounds on its way, tightest first.
enum class Level {
  exact,          ///< float32 products and sums; only the output is rounded
  tf32,           ///< float32 inputs through TF32 tensor cores: q, k, p and v rounded to 10 bits
  tf32_cut,       ///< the same, cut to 10 bits, as tensor cores do with what they are given
  flash,          ///< probabilities rounded to the dtype before P·V
  flash_cut,      ///< probabilities cut to the dtype, towards zero: out is a little too small
  rounded_sum,    ///< and summed as rounded, as kernels do that multiply them by a column of ones
  rounded_query,  ///< probabilities and scale · q rounded to the dtype before Q·Kᵀ
  fp8,            ///< probabilities rounded to e4m3
  rounded_logits, ///< scale · q · k rounded to the dtype once (Megatron's baddbmm with alpha)
  eager,          ///< logits rounded to the dtype before and after the scale (transformers' eager)
};

/// "exact", "tf32", "tf32_cut", "flash", "flash_cut", "rounded_sum", "rounded_query", "fp8",
/// "rounded_logits", "eager".
[[nodiscard]] std::string_view to_string(Level level);

/// One line for a reader.
[[nodiscard]] std::string_view describe(Level level);

/// True for levels that round logits, or the sum over them, and so change the lse.
[[nodiscard]] bool changes_lse(Level level);

/// True for levels that round logits to the dtype.
[[nodiscard]] bool has_coarse_logits(Level level);

/// A number format to round to, nearest even; those that end in _cut: towards zero.
enum class Rounding { none, f32, tf32, tf32_cut, bf16, bf16_cut, f16, f16_cut, e4m3, e5m2 };

/// The rounding that storing in `dtype` does; none for f64 and integers.
[[nodiscard]] Rounding rounding_of(tensor::Dtype dtype);

/// `value` rounded. Too large: infinity, for e4m3 the largest number (448), as saturating casts do.
[[nodiscard]] double round_to(Rounding rounding, double value);
/// round_to() of all of them, in place.
void round_all(Rounding rounding, std::span<double> values);

/// Largest relative error of rounding a normal number: 2^-8 for bf16, 0 for none.
[[nodiscard]] double unit_roundoff(Rounding rounding);

/// Standard deviation of the relative error of rounding numbers whose logarithms are spread evenly:
/// unit roundoff / sqrt(8 ln 2), some 0.42 units.
[[nodiscard]] double rounding_spread(Rounding rounding);

/// The dtypes a kernel worked in, as far as the capture shows them.
struct ComputeDtypes {
  tensor::Dtype input = tensor::Dtype::f32;  ///< of q, k, v: the narrowest that holds all values
  tensor::Dtype output = tensor::Dtype::f32; ///< of out

  /// What probabilities and logits are rounded to by kernels that do: the input dtype, or for fp8
  /// inputs the 16-bit dtype around them.
  [[nodiscard]] Rounding compute() const;
};

/// Levels that a kernel of these dtypes can have, tightest first.
[[nodiscard]] std::vector<Level> levels_for(const ComputeDtypes& dtypes);

} // namespace mla_scale::compare
