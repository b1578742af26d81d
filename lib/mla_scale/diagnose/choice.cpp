#include <mla_scale/diagnose/choice.hpp>

#include <algorithm>
#include <cmath>

namespace mla_scale::diagnose {

namespace {

/// Log-likelihood by which a finding must beat the expectation, per identifier.
constexpr double k_evidence_needed = 25.0;
constexpr double k_coarse_evidence_needed = 75.0;
/// Explanations this much worse than the best are no rivals.
constexpr double k_rival_margin = 8.0;
/// Nor are those whose free numbers cost so much more.
constexpr double k_rival_cost = 2.5;
/// Relative error of a fit, below which it tells scales apart.
constexpr double k_precise = 2e-3;

bool is_scale(const Explanation& explanation) {
  const auto& parts = explanation.candidate.parts;
  return !parts.empty() && parts.front().id.starts_with("scale.");
}

/// True when two explanations say the same of every row: then the capture cannot decide.
bool same_prediction(const Explanation& a, const Explanation& b) {
  return std::abs(a.score.likelihood - b.score.likelihood) <= 1e-9 * std::abs(b.score.likelihood)
         && a.candidate.parts.front().id != b.candidate.parts.front().id;
}

} // namespace

bool as_good(const Explanation& simple, const Explanation& best) {
  const auto& a = simple.score;
  const auto& b = best.score;
  // In float32 lse tells what out is too coarse for. Not of scales: a fit takes up what the
  // kernel's own float32 scale is off by, a closed form does not.
  constexpr double k_much_likelier = 100.0;
  if (!is_scale(simple) && simple.parts() == best.parts() && b.coarseness <= 0.1
      && a.lse_ratio > 2.0 * b.lse_ratio && best.total > simple.total + k_much_likelier) {
    return false;
  }
  return simple.lse_explained == best.lse_explained
         && a.out_ratio <= std::max(1.0, 1.08 * b.out_ratio + 0.02)
         && a.fine_ratio <= std::max(1.0, 1.08 * b.fine_ratio + 0.02)
         && a.lse_ratio <= std::max(1.5, 1.5 * b.lse_ratio);
}

const Explanation* best_that_holds(const Context& context,
                                   const std::vector<Explanation>& explanations) {
  const auto best =
      std::find_if(explanations.begin(), explanations.end(),
                   [&](const Explanation& explanation) { return holds(context, explanation); });
  if (best == explanations.end() || best->parts() == 0) {
    return best == explanations.end() ? nullptr : &*best;
  }
  const Explanation* chosen = &*best;
  for (const auto& other : explanations) {
    if (other.parts() > 0 && other.parts() <= chosen->parts() && other.cost() < chosen->cost()
        && as_good(other, *best) && holds(context, other)) {
      chosen = &other;
    }
  }
  return chosen;
}

bool is_healthy(const Context& context, const Explanation& expected, const Explanation& best) {
  // The errors of rounded logits are no Gaussian noise: more must speak against them.
  const double needed =
      (expected.score.coarseness > 0.1 ? k_coarse_evidence_needed : k_evidence_needed)
      * static_cast<double>(std::max<std::size_t>(1, best.parts()));
  return holds(context, expected) && expected.lse_explained && expected.parts() == 0
         && best.total < expected.total + needed;
}

std::vector<const Explanation*> rivals(const Context& context,
                                       const std::vector<Explanation>& explanations,
                                       const Explanation& best) {
  std::vector<const Explanation*> found;
  if (best.candidate.parts.empty()) {
    return found;
  }
  const bool decided = is_scale(best) && best.candidate.distance_error < k_precise;
  for (const auto& rival : explanations) {
    if (&rival != &best && !rival.candidate.parts.empty()
        && (rival.total > best.total - k_rival_margin || as_good(rival, best))
        && rival.parts() <= best.parts()
        && (rival.cost() <= best.cost() + k_rival_cost || same_prediction(rival, best))
        && !(decided && is_scale(rival)) && holds(context, rival)) {
      found.push_back(&rival);
    }
  }
  return found;
}

} // namespace mla_scale::diagnose
