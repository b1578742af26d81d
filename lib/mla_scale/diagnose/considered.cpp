#include <mla_scale/diagnose/considered.hpp>

#include <algorithm>

namespace mla_scale::diagnose {

std::vector<Considered> considered(const Context& context,
                                   const std::vector<Explanation>& explanations) {
  std::vector<Considered> result;
  for (const Explanation& explanation : explanations) {
    Considered one;
    for (const auto* parts : {&explanation.candidate.parts, &explanation.lse_parts}) {
      for (const Part& part : *parts) {
        one.ids.push_back(part.id);
        one.evidence += (one.evidence.empty() || part.evidence.empty() ? "" : "; ") + part.evidence;
      }
    }
    const bool known = std::any_of(result.begin(), result.end(),
                                   [&](const Considered& other) { return other.ids == one.ids; });
    if (known) {
      continue;
    }
    const Score& score = explanation.score;
    one.residual_ratio = score.out_ratio > 0.0 ? score.out_ratio : score.lse_ratio;
    one.lse_ratio = score.lse_ratio;
    one.holds = explanation.lse_explained && holds(context, explanation);
    result.push_back(std::move(one));
  }
  return result;
}

} // namespace mla_scale::diagnose
