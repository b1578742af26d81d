#pragma once

#include "support/catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

/// Largest |a - b|, in units of the largest |b|.
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0.0;
  double scale = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) {
      continue;
    }
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) {
      return std::numeric_limits<double>::infinity();
    }
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  for (const double x : b) {
    scale = std::isfinite(x) ? std::max(scale, std::abs(x)) : scale;
  }
  return scale == 0.0 ? largest : largest / scale;
}
