#pragma once

#include <cstdint>
#include <functional>
#include <vector>

/// One-dimensional Gauss-Newton on t = ln(scale), and what its sums say of the error of a fit.
namespace mla_scale::compare {

/// J·r and J² of one row.
struct RowStep {
  double gradient = 0.0;
  double curvature = 0.0;
};

/// Sums of one step.
struct FitStep {
  double gradient = 0.0;      ///< Σ J·r
  double curvature = 0.0;     ///< Σ J²
  double residual = 0.0;      ///< Σ r²
  std::vector<RowStep> rows;  ///< for the clustered error
  double between_heads = 0.0; ///< variance of the gradient by how heads differ, when fitted alone

  void add(double row_gradient, double row_curvature, double row_residual);
  FitStep& operator+=(const FitStep& other);
  [[nodiscard]] double count() const { return static_cast<double>(rows.size()); }
};

/// Where a fit ended.
struct Descent {
  double log_ratio = 0.0;
  FitStep step; ///< there
  bool converged = false;
  bool usable = false; ///< its rows told the scale, if only on the way
};

/// The sums at a log ratio.
using Evaluate = std::function<FitStep(double log_ratio)>;

/// Minimises Σ r(t)² from one start.
[[nodiscard]] Descent descend(const Evaluate& evaluate, double start);

/// Minimises Σ r(t)² from the best of a few starts, or from the first that is near.
[[nodiscard]] Descent minimise(const Evaluate& evaluate);

/// Relative standard error of the scale from rows of `width` residuals each, clustered by row.
[[nodiscard]] double relative_error(const FitStep& step, std::int64_t width);

} // namespace mla_scale::compare
