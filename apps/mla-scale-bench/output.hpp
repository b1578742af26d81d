#pragma once

#include "measure.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// What the numbers were measured on.
struct Setting {
  std::string kernel;
  unsigned threads = 0;
  double peak_f64 = 0.0; ///< operations a second
  double peak_f32 = 0.0;
};

/// Seconds of one size.
struct CostPoint {
  std::int64_t heads = 0;
  std::int64_t length = 0;
  unsigned threads = 0;
  double seconds = 0.0;
  double rate = 0.0; ///< operations a second
};

/// A table for people: median rates with their spread, and ratios.
[[nodiscard]] std::string text_of(const Setting& setting, const std::vector<GroupResult>& groups);

/// Markdown table of how cost grows.
[[nodiscard]] std::string text_of(const std::vector<CostPoint>& costs);

[[nodiscard]] std::string json_of(const Setting& setting, const std::vector<GroupResult>& groups,
                                  const std::vector<CostPoint>& costs);

/// Seconds against S on logarithmic axes, one line for each number of heads and threads.
[[nodiscard]] std::string svg_of(const std::vector<CostPoint>& costs);
