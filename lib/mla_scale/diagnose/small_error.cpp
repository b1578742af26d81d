#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/named_scale.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>
#include <mla_scale/diagnose/small_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

namespace mla_scale::diagnose {

namespace {

using compare::k_many_errors;

/// Of a fitted scale: where it still is a named one.
constexpr double k_few_errors = 4.0;

} // namespace

void explain_small_error(const Expectation& expectation, const compare::Judgement& judgement,
                         Report& report) {
  const std::optional<compare::ScaleFit>& fit = judgement.fit;
  if (!fit || !fit->converged
      || std::abs(fit->softmax_scale - expectation.softmax_scale)
             < k_many_errors * fit->standard_error) {
    report.unexplained =
        "the error is larger than a healthy kernel's, and too small to show which bug made it";
    return;
  }
  const std::string evidence =
      fmt::format("fitted scale {:.7g} ± {:.1g} from {}; the error is too small to show more",
                  fit->softmax_scale, fit->standard_error, fit->from);
  const auto append = [&](const std::string& id, double scale, const std::string& formula) {
    const auto* hypothesis = find_hypothesis(id);
    report.findings.push_back(
        {id, std::string(hypothesis->title),
         scale_parameters({scale, expectation.softmax_scale, formula,
                           FittedScale{fit->softmax_scale, fit->standard_error}}),
         report.null_ratio, evidence + engines_that_compute(expectation, scale),
         std::string(hypothesis->look_at)});
  };
  const auto distance = [&](const ScaleCandidate& candidate) {
    return std::abs(candidate.value - fit->softmax_scale);
  };
  auto candidates = scale_candidates(expectation);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  for (const ScaleCandidate& candidate : candidates) {
    const bool known = std::any_of(report.findings.begin(), report.findings.end(),
                                   [&](const Finding& one) { return one.id == candidate.id; });
    if (!known && distance(candidate) < k_few_errors * fit->standard_error) {
      append(candidate.id, candidate.value, candidate.formula);
    }
  }
  if (report.findings.empty()) {
    append("scale.other", fit->softmax_scale, "");
  }
}

} // namespace mla_scale::diagnose
