#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace mla_scale::report::html {

/// A scale of a plot: values from `low` to `high` on a line from `from` to `to`, in units of the
/// drawing.
struct Axis {
  double low = 0.0;
  double high = 1.0;
  double from = 0.0;
  double to = 1.0;
  bool logarithmic = false; ///< \pre 0 < low

  /// Where a value is, at the nearer end when it is outside.
  [[nodiscard]] double at(double value) const;
  [[nodiscard]] bool holds(double value) const { return value >= low && value <= high; }
};

/// Size of a drawing and, within it, the edges of what is plotted.
struct PlotArea {
  double width = 0.0;
  double height = 0.0;
  double left = 0.0;
  double right = 0.0;
  double top = 0.0;
  double bottom = 0.0;
};

/// Round values within an axis, about `count`: 1, 2 or 5 times a power of ten.
[[nodiscard]] std::vector<double> ticks(const Axis& axis, int count);

/// Lines across the drawing at each tick of a vertical axis, from `left` to `right`, labelled at
/// their left ends.
[[nodiscard]] std::string grid(const Axis& axis, double left, double right,
                               const std::function<std::string(double)>& label);

/// Each how many steps a label of so many digits stands below a horizontal axis, so that none
/// touches the next.
[[nodiscard]] std::size_t label_stride(std::size_t digits, double step);

/// A tick as text: "0.02", "1e-05".
[[nodiscard]] std::string tick_label(double value);

} // namespace mla_scale::report::html
