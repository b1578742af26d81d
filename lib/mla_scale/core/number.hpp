#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace mla_scale {

inline constexpr double k_infinity = std::numeric_limits<double>::infinity();

/// A number of elements, for containers.
[[nodiscard]] constexpr std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

} // namespace mla_scale
