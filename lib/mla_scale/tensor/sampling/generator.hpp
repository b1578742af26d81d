#pragma once

#include <cstdint>

/// The counter-based generator of samples: a value depends on the seed, the tensor and its index,
/// and on nothing that was drawn before. Integers only, so the same on every machine.
///
/// In NumPy, with unsigned 64-bit arithmetic that wraps:
///
///     def mix(z):                                        # splitmix64's finaliser
///         z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
///         z = (z ^ (z >> 27)) * 0x94D049BB133111EB
///         return z ^ (z >> 31)
///     G = 0x9E3779B97F4A7C15
///     def normal(seed, stream, index):                   # index: flat, in C order
///         key = mix(mix(seed + G) + stream * G)
///         total = sum((mix(key + (3 * index + j + 1) * G) >> (16 * part)) & 0xFFFF
///                     for j in range(3) for part in range(4))
///         return (total - 393210) / 65536.0              # twelve uniforms: mean 0, variance 1
///
/// A sum of twelve uniforms (Irwin-Hall) instead of Box-Muller: it needs no logarithm, cosine or
/// square root, in which mathematical libraries differ. Its tails end at 6.
/// Source of the mixing: Steele, Lea, Flood, "Fast splittable pseudorandom number generators"
/// (2014).
namespace mla_scale::tensor::sampling {

/// One number of the tensors that are drawn; everything else is computed from them.
enum class Stream : std::uint64_t { kv_c = 1, kv_b_proj = 2, k_pe_pre = 3, q_pre = 4 };

inline constexpr std::uint64_t k_golden = 0x9E3779B97F4A7C15;

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EB;
  return z ^ (z >> 31U);
}

/// Approximately standard normal: multiples of 2^-16 in (-6, 6), exact in double.
class Normal {
public:
  constexpr Normal(std::uint64_t seed, Stream stream)
      : m_key(mix(mix(seed + k_golden) + static_cast<std::uint64_t>(stream) * k_golden)) {}

  [[nodiscard]] constexpr double operator()(std::uint64_t index) const {
    std::int64_t total = 0;
    for (std::uint64_t j = 1; j <= 3; ++j) {
      const std::uint64_t bits = mix(m_key + (3 * index + j) * k_golden);
      for (unsigned part = 0; part < 4; ++part) {
        total += static_cast<std::int64_t>(bits >> (16 * part) & 0xFFFFU);
      }
    }
    return static_cast<double>(total - 393210) / 65536.0;
  }

private:
  std::uint64_t m_key;
};

} // namespace mla_scale::tensor::sampling
