#include <mla_scale/core/number.hpp>
#include <mla_scale/tensor/sampling/rounding.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace mla_scale::tensor::sampling {
namespace {

struct Format {
  int precision;    ///< significant bits
  int min_exponent; ///< of the smallest normal number
  double max;
};

constexpr Format k_bf16 = {8, -126, 0x1.FEp127};
constexpr Format k_f16 = {11, -14, 65504.0};
constexpr Format k_f32 = {24, -126, 0x1.FFFFFEp127};

const Format& format_of(Dtype dtype) {
  return dtype == Dtype::bf16 ? k_bf16 : dtype == Dtype::f16 ? k_f16 : k_f32;
}

template <typename Unsigned>
std::size_t put(Unsigned bits, std::byte* to) {
  for (std::size_t i = 0; i < sizeof bits; ++i) {
    to[i] = static_cast<std::byte>(static_cast<std::uint64_t>(bits) >> (8 * i) & 0xFFU);
  }
  return sizeof bits;
}

std::uint16_t f16_bits(double value) {
  const unsigned sign = std::signbit(value) ? 0x8000U : 0U;
  const double magnitude = std::fabs(value);
  if (!(magnitude <= k_f16.max)) {
    return static_cast<std::uint16_t>(sign | (std::isnan(value) ? 0x7E00U : 0x7C00U));
  }
  if (magnitude < 0x1p-14) {
    return static_cast<std::uint16_t>(sign | static_cast<unsigned>(magnitude * 0x1p24));
  }
  const int exponent = std::ilogb(magnitude);
  const auto mantissa = static_cast<unsigned>(std::ldexp(magnitude, 10 - exponent));
  return static_cast<std::uint16_t>(sign | static_cast<unsigned>(exponent + 15) << 10U
                                    | (mantissa & 0x3FFU));
}

} // namespace

double round_to(Dtype dtype, double value) {
  const Format& format = format_of(dtype);
  if (!std::isfinite(value) || value == 0.0) {
    return value;
  }
  const double magnitude = std::fabs(value);
  double rounded = 0;
  if (magnitude >= std::ldexp(1.0, format.min_exponent)) {
    // Adding half a unit, and one less when the kept part is even, carries as rounding must.
    const unsigned dropped = 53U - static_cast<unsigned>(format.precision);
    const auto bits = std::bit_cast<std::uint64_t>(magnitude);
    const std::uint64_t half = (std::uint64_t{1} << (dropped - 1U)) - 1U + (bits >> dropped & 1U);
    rounded = std::bit_cast<double>((bits + half) >> dropped << dropped);
  } else {
    const int unit = format.min_exponent - (format.precision - 1);
    rounded = std::ldexp(std::nearbyint(std::ldexp(magnitude, -unit)), unit);
  }
  if (rounded > format.max) {
    rounded = k_infinity;
  }
  return std::copysign(rounded, value);
}

std::size_t store(Dtype dtype, double rounded, std::byte* to) {
  if (dtype == Dtype::f16) {
    return put(f16_bits(rounded), to);
  }
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(rounded));
  return dtype == Dtype::bf16 ? put(static_cast<std::uint16_t>(bits >> 16U), to) : put(bits, to);
}

} // namespace mla_scale::tensor::sampling
