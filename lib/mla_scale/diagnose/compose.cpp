#include <mla_scale/diagnose/compose.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::diagnose {

std::vector<Explanation> explain_composed(const Context& context) {
  std::vector<Explanation> screened;
  std::vector<double> tried;
  // Seventeen scales times all scans: a dozen rows must do for the search.
  std::vector<std::size_t> few;
  for (std::size_t at = 0; at < context.probe.size(); at += 1 + context.probe.size() / 13) {
    few.push_back(context.probe[at]);
  }
  for (const auto& named : scale_candidates(context.expectation)) {
    const bool known = std::any_of(tried.begin(), tried.end(), [&](double value) {
      return std::abs(value / named.value - 1.0) < 5e-4;
    });
    if (known || named.id == "scale.other") {
      continue;
    }
    tried.push_back(named.value);
    Context moved = context;
    moved.reference.scale = named.value;
    moved.probe = few;
    std::vector<Candidate> candidates;
    if (context.sample.any_out) {
      propose_masks(moved, candidates);
      propose_merges(moved, candidates);
    }
    propose_extra_mass(moved, candidates);
    const Part part{
        named.id,
        {{"softmax_scale", named.value},
         {"expected", context.reference.scale},
         {"ratio", named.value / context.reference.scale},
         {"formula", named.formula}},
        fmt::format("with scale {:.7g} ({}) and a second bug", named.value, named.formula)};
    for (auto& candidate : candidates) {
      candidate.parts.insert(candidate.parts.begin(), part);
      candidate.cost += 4.0;
      auto explanation = explain_with(context, std::move(candidate), few);
      if (std::isfinite(explanation.total)) {
        screened.push_back(std::move(explanation));
      }
    }
  }
  const auto better = [](const Explanation& a, const Explanation& b) { return a.total > b.total; };
  std::stable_sort(screened.begin(), screened.end(), better);
  std::vector<Explanation> result;
  for (std::size_t at = 0; at < std::min<std::size_t>(3, screened.size()); ++at) {
    result.push_back(explain_with(context, std::move(screened[at].candidate), context.rows));
  }
  std::stable_sort(result.begin(), result.end(), better);
  return result;
}

} // namespace mla_scale::diagnose
