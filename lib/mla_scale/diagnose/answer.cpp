#include <mla_scale/diagnose/answer.hpp>
#include <mla_scale/diagnose/choice.hpp>
#include <mla_scale/diagnose/findings.hpp>

#include <algorithm>

namespace mla_scale::diagnose {

const Explanation& expectation_among(const std::vector<Explanation>& explanations) {
  return *std::find_if(explanations.begin(), explanations.end(),
                       [](const Explanation& one) { return one.candidate.parts.empty(); });
}

bool answer(const Context& context, const std::vector<Explanation>& explanations,
            const std::string& where, Report& report) {
  const auto* best = best_that_holds(context, explanations);
  if (best == nullptr) {
    return false;
  }
  if (is_healthy(context, expectation_among(explanations), *best)) {
    report.healthy = true;
    return true;
  }
  if (best->parts() == 0) {
    // Out is as expected; lse is not, and nothing explains it.
    return false;
  }
  append_findings(*best, where, report);
  append_ties(context.expectation, report);
  for (const auto* rival : rivals(context, explanations, *best)) {
    append_findings(*rival, where, report);
  }
  if (report.findings.size() == 1) { // found alone: this capture does identify it
    std::erase_if(report.not_identifiable,
                  [&](const NotIdentifiable& row) { return row.id == report.findings.front().id; });
  }
  return true;
}

void drop_explained_nan(const Context& context, const std::vector<Explanation>& explanations,
                        Report& report) {
  if (report.findings.size() < 2 || report.findings.front().id != "output.nan") {
    return;
  }
  const auto* best = best_that_holds(context, explanations);
  for (const Row& row : context.sample.rows) {
    if (!row.has_out && context.predictor.predict(best->candidate.mechanism, row).defined) {
      return;
    }
  }
  report.findings.erase(report.findings.begin());
}

} // namespace mla_scale::diagnose
