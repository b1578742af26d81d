#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>

#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// A softmax scale that a finding names, beside what was fitted.
struct NamedScale {
  double softmax_scale = 0.0;
  double expected = 0.0;
  std::string formula; ///< "" where it has none
  double fitted = 0.0;
  double standard_error = 0.0; ///< of `fitted`, absolute
};

/// Its parameters in a finding: softmax_scale, expected, ratio, formula where there is one, fitted,
/// standard_error.
[[nodiscard]] std::vector<Parameter> scale_parameters(const NamedScale& scale);

/// "; this is what A, B compute in prefill" of the engines whose scale in the capture's phase is
/// this one within 1e-4, or "".
[[nodiscard]] std::string engines_that_compute(const Expectation& expectation, double scale);

} // namespace mla_scale::diagnose
