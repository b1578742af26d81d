#pragma once

#include <mla_scale/compare/judge.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::report::html {

// Figures as inline SVG with a caption, a title and a description. They take colours from the
// page's style. Each is empty when there is nothing to draw.

/// Heads (down) against positions (across), each cell coloured by its error in floors.
[[nodiscard]] std::string error_map(const compare::TensorComparison& tensor);

/// What the colours of error_map() mean.
[[nodiscard]] std::string error_map_legend();

enum class Groups { heads, positions };

/// Error of groups of rows, and the floor of a healthy kernel, on a logarithmic axis.
[[nodiscard]] std::string error_plot(const compare::TensorComparison& tensor, Groups groups);

/// A scale that a diagnosis names.
struct NamedScale {
  std::string name; ///< text
  double softmax_scale = 0.0;
};

/// The fitted scale of each head with its standard error, against the expected one; where the heads
/// lie too close together for that, once more from near.
[[nodiscard]] std::string scale_plot(const compare::ScaleFit& fit, double expected,
                                     const std::optional<NamedScale>& named);

/// Expected, measured and rival scales on one logarithmic line.
[[nodiscard]] std::string scale_line(const std::optional<compare::ScaleFit>& fit, double expected,
                                     const std::vector<NamedScale>& rivals);

} // namespace mla_scale::report::html
