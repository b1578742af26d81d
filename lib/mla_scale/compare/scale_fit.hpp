#pragma once

#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mla_scale::compare {

/// Standard errors of a fitted scale that noise does not make.
inline constexpr double k_many_errors = 6.0;
/// What float32 arithmetic may do to a scale, relative.
inline constexpr double k_float32_scale = 2e-5;

/// The softmax scale that explains one head of a capture best.
struct HeadScale {
  std::int64_t head = 0;
  double softmax_scale = 0.0;
  double standard_error = 0.0; ///< absolute, as ScaleFit's but from this head's rows alone
  bool converged = false;
};

/// The softmax scale that explains a capture best.
struct ScaleFit {
  double softmax_scale = 0.0;
  double standard_error = 0.0; ///< absolute; clustered by row, with a floor of 3e-7 · scale
  double ratio = 0.0;          ///< softmax_scale / the problem's
  std::string from;            ///< "lse" or "out"
  bool converged = false;
  double residual =
      0.0; ///< what is left: rms over rows of |error|/|O_row| (out), of lse error (lse)
  /// Σ (d residual / d ln scale)²: what the inputs tell about the scale, whatever the capture says.
  double information = 0.0;
  std::int64_t rows = 0;          ///< (head, row) pairs used
  std::vector<HeadScale> by_head; ///< ascending; without heads whose rows tell nothing
};

/// 1-D Gauss-Newton on ln(scale) from lse: each row solves lse(s) = ln Σ exp(s x_j).
/// Nothing when the capture has no lse, or no row of it tells the scale.
[[nodiscard]] std::optional<ScaleFit> fit_scale_from_lse(const reference::Problem& problem,
                                                         const tensor::Capture& capture,
                                                         const std::vector<RowSample>& samples);

/// 1-D Gauss-Newton on ln(scale) from out, rows weighted by 1/|O_row|²; the derivative of a row is
/// Σ p_j (s x_j - mean) v_j. Nothing when there is no out, or no row of it tells the scale.
[[nodiscard]] std::optional<ScaleFit> fit_scale_from_out(const reference::Problem& problem,
                                                         const tensor::Capture& capture,
                                                         const std::vector<RowSample>& samples);

} // namespace mla_scale::compare
