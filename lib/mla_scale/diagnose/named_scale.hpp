#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>

#include <optional>
#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// A softmax scale as a fit gave it, with its standard error, absolute.
struct FittedScale {
  double value = 0.0;
  double standard_error = 0.0;
};

/// A softmax scale that a finding names, beside what was fitted.
struct NamedScale {
  double softmax_scale = 0.0;
  double expected = 0.0;
  std::string formula;               ///< "" where it has none
  std::optional<FittedScale> fitted; ///< none where it was tried, not fitted
};

/// Its parameters in a finding: softmax_scale, expected, ratio, and where there is one formula,
/// fitted and standard_error.
[[nodiscard]] std::vector<Parameter> scale_parameters(const NamedScale& scale);

/// "; this is what A, B compute in prefill" of the engines whose scale in the capture's phase is
/// this one within 1e-4, or "".
[[nodiscard]] std::string engines_that_compute(const Expectation& expectation, double scale);

} // namespace mla_scale::diagnose
