#pragma once

#include <mla_scale/tensor/dtype.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

/// Conversion of stored elements to numbers. Every floating conversion is exact, NaN payloads
/// aside.
namespace mla_scale::tensor {

/// IEEE 754 binary16, subnormals included.
[[nodiscard]] inline float float_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const std::uint32_t rest = bits & 0x7FFFU;
  if (rest >= 0x7C00U) {
    return std::bit_cast<float>(sign | 0x7F800000U | (rest << 13U));
  }
  // The exponent's bias differs by 112; the product rescales subnormals exactly.
  const float magnitude = std::bit_cast<float>(rest << 13U) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

/// bfloat16: the upper half of a binary32.
[[nodiscard]] inline float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// OCP 8-bit E4M3 with bias 7, without infinities, 0x7F and 0xFF NaN ("fn").
[[nodiscard]] constexpr float float_from_e4m3fn(std::uint8_t bits) {
  const int exponent = (bits >> 3) & 15;
  const int mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  float magnitude = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-9F
                                  : static_cast<float>(8 + mantissa) * 0x1p-10F;
  for (int i = 0; i < exponent; ++i) {
    magnitude *= 2.0F;
  }
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

inline constexpr std::array<float, 256> k_e4m3fn = [] {
  std::array<float, 256> table = {};
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = float_from_e4m3fn(static_cast<std::uint8_t>(i));
  }
  return table;
}();

template <typename Unsigned>
[[nodiscard]] constexpr Unsigned swap_bytes(Unsigned value) {
  const std::uint64_t wide = value;
  std::uint64_t swapped = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
    swapped = swapped << 8U | (wide >> (8U * i) & 0xFFU);
  }
  return static_cast<Unsigned>(swapped);
}

/// The bits at `from` as they would stand on a little-endian machine.
template <typename Unsigned>
[[nodiscard]] Unsigned load_bits(const std::byte* from, bool big_endian) {
  Unsigned bits = 0;
  std::memcpy(&bits, from, sizeof bits);
  if constexpr (sizeof(Unsigned) > 1) {
    if (big_endian) {
      bits = swap_bytes(bits);
    }
  }
  return bits;
}

/// Decodes one element of a type that is known when this is compiled.
template <typename Bits, bool BigEndian, typename Convert>
struct Decoder {
  static constexpr std::int64_t k_size = sizeof(Bits);
  Convert convert;

  [[nodiscard]] auto operator()(const std::byte* from) const {
    return convert(load_bits<Bits>(from, BigEndian));
  }
};

/// Calls `visit` with the Decoder of a type. Floating types up to 32 bits decode to float, all
/// others to double.
template <typename Visit>
decltype(auto) with_decoder(Dtype dtype, bool big_endian, const Visit& visit) {
  const auto with = [&]<typename Bits, typename Convert>(Bits, Convert convert) {
    return big_endian ? visit(Decoder<Bits, true, Convert>{convert})
                      : visit(Decoder<Bits, false, Convert>{convert});
  };
  const auto integer = [&]<typename Signed>(Signed) {
    using Bits = std::make_unsigned_t<Signed>;
    return with(Bits{}, [](Bits bits) { return static_cast<double>(static_cast<Signed>(bits)); });
  };
  switch (dtype) {
  case Dtype::f64:
    return with(std::uint64_t{}, [](std::uint64_t bits) { return std::bit_cast<double>(bits); });
  case Dtype::f32:
    return with(std::uint32_t{}, [](std::uint32_t bits) { return std::bit_cast<float>(bits); });
  case Dtype::f16:
    return with(std::uint16_t{}, [](std::uint16_t bits) { return float_from_f16(bits); });
  case Dtype::bf16:
    return with(std::uint16_t{}, [](std::uint16_t bits) { return float_from_bf16(bits); });
  case Dtype::f8_e4m3fn:
    return with(std::uint8_t{}, [](std::uint8_t bits) { return k_e4m3fn[bits]; });
  case Dtype::f8_e5m2: // the upper byte of a binary16
    return with(std::uint8_t{}, [](std::uint8_t bits) {
      return float_from_f16(static_cast<std::uint16_t>(bits << 8));
    });
  case Dtype::i64:
    return integer(std::int64_t{});
  case Dtype::i32:
    return integer(std::int32_t{});
  case Dtype::i16:
    return integer(std::int16_t{});
  case Dtype::i8:
    return integer(std::int8_t{});
  case Dtype::u64:
    return integer(std::uint64_t{});
  case Dtype::u32:
    return integer(std::uint32_t{});
  case Dtype::u16:
    return integer(std::uint16_t{});
  case Dtype::u8:
  case Dtype::boolean:
    break;
  }
  return integer(std::uint8_t{});
}

} // namespace mla_scale::tensor
