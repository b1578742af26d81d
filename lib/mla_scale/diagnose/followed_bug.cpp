#include <mla_scale/diagnose/followed_bug.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace mla_scale::diagnose {

bool follows_a_bug(const compare::Judgement& judgement, const Report& report) {
  constexpr double k_clearly = 0.05;
  if (judgement.verdict != compare::Verdict::match || report.findings.empty()) {
    return false;
  }
  const std::string& id = report.findings.front().id;
  if (!id.starts_with("mask.") && !id.starts_with("pages.") && id != "merge.context_dropped") {
    return false;
  }
  const auto considered = [&](const std::vector<std::string>& ids) {
    return std::find_if(report.considered.begin(), report.considered.end(),
                        [&](const Considered& one) { return one.ids == ids; });
  };
  const auto bug = considered({id});
  const auto expected = considered({});
  return bug != report.considered.end() && expected != report.considered.end()
         && bug->lse_ratio < k_clearly * expected->lse_ratio;
}

} // namespace mla_scale::diagnose
