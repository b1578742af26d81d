#include <mla_scale/compare/level.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>

namespace mla_scale::compare {
namespace {

using tensor::Dtype;

struct LevelRow {
  Level level;
  std::string_view name;
  std::string_view description;
};

constexpr auto k_levels = std::to_array<LevelRow>({
    {Level::exact, "exact", "float32 inside, only the output is rounded"},
    {Level::tf32, "tf32", "TF32 tensor cores: inputs and probabilities rounded to 10 bits"},
    {Level::tf32_cut, "tf32_cut", "TF32 tensor cores: inputs and probabilities cut to 10 bits"},
    {Level::flash, "flash", "probabilities rounded to the dtype before P·V"},
    {Level::flash_cut, "flash_cut", "probabilities cut to the dtype, not rounded, before P·V"},
    {Level::rounded_sum, "rounded_sum",
     "probabilities rounded to the dtype before they are summed"},
    {Level::rounded_query, "rounded_query", "scale · q and probabilities rounded to the dtype"},
    {Level::fp8, "fp8", "probabilities rounded to e4m3 before P·V"},
    {Level::rounded_logits, "rounded_logits", "logits rounded to the dtype once"},
    {Level::eager, "eager", "logits rounded to the dtype before and after the scale"},
});

/// A binary format: bits after the leading one, the smallest normal and the largest finite number.
struct Format {
  Rounding rounding;
  int fraction_bits;
  double smallest;
  double largest;
  bool saturates;
};

constexpr auto k_formats = std::to_array<Format>({
    {Rounding::f32, 23, 0x1p-126, 3.4028234663852886e38, false},
    {Rounding::tf32, 10, 0x1p-126, 3.4011621342146535e38, false},
    {Rounding::tf32_cut, 10, 0x1p-126, 3.4011621342146535e38, false},
    {Rounding::bf16, 7, 0x1p-126, 3.3895313892515355e38, false},
    {Rounding::bf16_cut, 7, 0x1p-126, 3.3895313892515355e38, false},
    {Rounding::f16, 10, 0x1p-14, 65504.0, false},
    {Rounding::f16_cut, 10, 0x1p-14, 65504.0, false},
    {Rounding::e4m3, 3, 0x1p-6, 448.0, true},
    {Rounding::e5m2, 2, 0x1p-14, 57344.0, false},
});

const Format* find_format(Rounding rounding) {
  for (const Format& format : k_formats) {
    if (format.rounding == rounding) {
      return &format;
    }
  }
  return nullptr;
}

bool cuts(Rounding rounding) {
  return rounding == Rounding::tf32_cut || rounding == Rounding::bf16_cut
         || rounding == Rounding::f16_cut;
}

const LevelRow& row_of(Level level) {
  return k_levels[static_cast<std::size_t>(level)];
}

} // namespace

std::string_view to_string(Level level) {
  return row_of(level).name;
}

std::string_view describe(Level level) {
  return row_of(level).description;
}

bool has_coarse_logits(Level level) {
  return level == Level::rounded_logits || level == Level::eager;
}

bool changes_lse(Level level) {
  return level != Level::exact && level != Level::flash && level != Level::flash_cut
         && level != Level::fp8;
}

Rounding rounding_of(Dtype dtype) {
  switch (dtype) {
  case Dtype::f32:
    return Rounding::f32;
  case Dtype::bf16:
    return Rounding::bf16;
  case Dtype::f16:
    return Rounding::f16;
  case Dtype::f8_e4m3fn:
    return Rounding::e4m3;
  case Dtype::f8_e5m2:
    return Rounding::e5m2;
  default:
    return Rounding::none;
  }
}

double round_to(Rounding rounding, double value) {
  const Format* format = find_format(rounding);
  if (format == nullptr || !std::isfinite(value)) {
    return value;
  }
  double rounded = 0.0;
  if (std::abs(value) >= format->smallest) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    // Adding half of the last kept bit, less one when that bit is 0, carries into the exponent too.
    const auto dropped = static_cast<unsigned>(52 - format->fraction_bits);
    const std::uint64_t half =
        cuts(rounding) ? 0 : (std::uint64_t{1} << (dropped - 1U)) - 1U + ((bits >> dropped) & 1U);
    rounded = std::bit_cast<double>(((bits + half) >> dropped) << dropped);
  } else {
    const double step = std::ldexp(format->smallest, -format->fraction_bits);
    const double steps = value / step;
    rounded = (cuts(rounding) ? std::trunc(steps) : std::nearbyint(steps)) * step;
  }
  if (std::abs(rounded) > format->largest) {
    return std::copysign(format->saturates ? format->largest : k_infinity, value);
  }
  return rounded;
}

void round_all(Rounding rounding, std::span<double> values) {
  if (rounding != Rounding::none) {
    std::for_each(values.begin(), values.end(),
                  [rounding](double& x) { x = round_to(rounding, x); });
  }
}

double unit_roundoff(Rounding rounding) {
  const Format* format = find_format(rounding);
  return format == nullptr ? 0.0 : std::ldexp(1.0, -1 - format->fraction_bits);
}

double rounding_spread(Rounding rounding) {
  // An error is even in ±u of the power of two below the number, so u²/3 · E[1/m²] with the
  // significand m in [1, 2) of density 1/(m ln 2).
  return unit_roundoff(rounding) / std::sqrt(8.0 * std::numbers::ln2);
}

Rounding ComputeDtypes::compute() const {
  if (!tensor::is_float8(input)) {
    return rounding_of(input);
  }
  return output == Dtype::f16 ? Rounding::f16 : Rounding::bf16;
}

std::vector<Level> levels_for(const ComputeDtypes& dtypes) {
  if (tensor::is_float8(dtypes.input)) {
    return {Level::exact, Level::flash, Level::fp8, Level::rounded_logits, Level::eager};
  }
  if (dtypes.input == Dtype::bf16 || dtypes.input == Dtype::f16) {
    return {Level::exact,         Level::flash,          Level::flash_cut, Level::rounded_sum,
            Level::rounded_query, Level::rounded_logits, Level::eager};
  }
  return {Level::exact, Level::tf32, Level::tf32_cut};
}

} // namespace mla_scale::compare
