#include <mla_scale/compare/clustered_error.hpp>
#include <mla_scale/compare/gauss_newton.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace mla_scale::compare {
namespace {

constexpr int k_most_steps = 20;
constexpr int k_most_halvings = 5;
constexpr double k_converged = 1e-10;  // of ln(scale)
constexpr double k_longest_step = 0.7; // of ln(scale): a factor of 2
constexpr std::array k_starts = {1.0, 0.5, 0.25, 2.0};
constexpr double k_near_residual = 0.1; // rms of a row: near enough to descend from

} // namespace

void FitStep::add(double row_gradient, double row_curvature, double row_residual) {
  gradient += row_gradient;
  curvature += row_curvature;
  residual += row_residual;
  rows.push_back({row_gradient, row_curvature});
}

FitStep& FitStep::operator+=(const FitStep& other) {
  gradient += other.gradient;
  curvature += other.curvature;
  residual += other.residual;
  rows.insert(rows.end(), other.rows.begin(), other.rows.end());
  return *this;
}

Descent descend(const Evaluate& evaluate, double start) {
  Descent fitted;
  fitted.log_ratio = start;
  fitted.step = evaluate(start);
  for (int i = 0; i < k_most_steps; ++i) {
    if (!(fitted.step.curvature > 0.0) || !std::isfinite(fitted.step.gradient)) {
      return fitted;
    }
    fitted.usable = true;
    const double wanted = -fitted.step.gradient / fitted.step.curvature;
    double change = std::clamp(wanted, -k_longest_step, k_longest_step);
    if (std::abs(change) < k_converged) {
      fitted.converged = true;
      return fitted;
    }
    FitStep next = evaluate(fitted.log_ratio + change);
    for (int half = 0; half < k_most_halvings && !(next.residual <= fitted.step.residual); ++half) {
      change /= 2;
      next = evaluate(fitted.log_ratio + change);
    }
    if (!(next.residual <= fitted.step.residual)) {
      // Rounding: no shorter step helps, so this is the minimum.
      fitted.converged = std::abs(wanted) < 1e-6;
      return fitted;
    }
    fitted.log_ratio += change;
    fitted.step = next;
  }
  return fitted;
}

Descent minimise(const Evaluate& evaluate) {
  double start = 0.0;
  double least = k_infinity;
  for (const double ratio : k_starts) {
    if (const FitStep step = evaluate(std::log(ratio));
        !step.rows.empty() && step.residual < least) {
      least = step.residual;
      start = std::log(ratio);
      if (least < k_near_residual * k_near_residual * step.count()) {
        break;
      }
    }
  }
  return descend(evaluate, start);
}

double relative_error(const FitStep& step, std::int64_t width) {
  double variance = 0.0; // of the gradient
  double squared = 0.0;
  for (const RowStep& row : step.rows) {
    // A row that the fit follows leaves less residual than it has error.
    const double share = std::min(row.curvature / step.curvature, k_most_share);
    variance += std::pow(row.gradient / (1.0 - share), 2);
    squared += row.curvature * row.curvature;
  }
  const double effective = step.curvature * step.curvature / squared; // rows of equal weight
  const double clustered = std::sqrt(std::max(variance, step.between_heads)) / step.curvature
                           * few_rows_factor(effective - 1.0);
  const double residuals = std::max(1.0, step.count() * static_cast<double>(width) - 1.0);
  const double naive = std::sqrt(step.residual / residuals / step.curvature);
  return std::max(clustered, width > 1 && effective < k_few_rows ? k_clustering * naive : naive);
}

} // namespace mla_scale::compare
