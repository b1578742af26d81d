#include <mla_scale/compare/scale_fit.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/explain_lse.hpp>
#include <mla_scale/diagnose/explanation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::diagnose {

namespace {

using compare::k_many_errors;

/// Log-likelihood of an lse that nothing explains, a row.
constexpr double k_unexplained_lse = -3.0;
/// Ratios above these are not a healthy kernel's rounding.
constexpr double k_largest_out_ratio = 1.7;
constexpr double k_largest_lse_ratio = 6.0;
constexpr double k_largest_head_ratio = 2.5;
/// Rounded logits may cost this much of what rounding them once does; parts that are merged carry
/// more of it, by way of their weights.
constexpr double k_largest_coarseness = 2.0;
constexpr double k_largest_merged_coarseness = 2.8;
/// From this coarseness on, changes smaller than these may be the rounding's own doing.
constexpr double k_coarse = 0.2;
constexpr double k_smallest_coarse_effect = 6e-3;
/// A scale has an error of its own to be measured by, which knows how coarse the logits are.
constexpr double k_smallest_coarse_scale = 5e-4;
/// Screening: this much worse than the best on the probe is out.
constexpr double k_screen_margin = 60.0;
constexpr std::size_t k_survivors = 12;
/// Held against all rows however bad they are.
constexpr std::size_t k_fewest_survivors = 3;
/// Residual of the best explanation, against a kernel that rounds no logits, at which the search
/// ends.
constexpr double k_fine_ratio = 1.15;

RowPredictor predictor_of(const Context& context, const Candidate& candidate) {
  if (candidate.direct) {
    return candidate.direct;
  }
  return [&context, &candidate](const Row& row) {
    return context.predictor.predict(candidate.mechanism, row);
  };
}

/// Outcomes whose lse has the largest logit so many times more: what rounding does to this one is
/// no longer averaged with the others.
std::vector<RowOutcome> with_maximum(std::vector<RowOutcome> outcomes, double times) {
  for (RowOutcome& outcome : outcomes) {
    outcome.lse_fine += times * times * outcome.maximum_fine;
  }
  return outcomes;
}

/// `times`: that the likelihood counts, see Candidate::few_rows.
void try_rule(const Context& context, const std::vector<RowOutcome>& outcomes, const LseRule& rule,
              double times, Explanation& best) {
  const auto scored =
      rule.of_maximum == 0.0
          ? score(context.sample, outcomes, rule.expected)
          : score(context.sample, with_maximum(outcomes, rule.of_maximum), rule.expected);
  if (scored.coarseness >= k_coarse && rule.effect < k_smallest_coarse_effect) {
    return;
  }
  const double total = scored.likelihood * times - best.candidate.cost - rule.cost;
  if (total > best.total) {
    best.score = scored;
    best.total = total;
    best.lse_parts = rule.parts;
    best.lse_text = rule.text;
    best.lse_cost = rule.cost;
    best.lse_explained = true;
  }
}

/// False for a closed form that is not what was fitted.
bool near_enough(const Explanation& explanation) {
  const auto& candidate = explanation.candidate;
  return candidate.distance
         <= std::max(6.0 * candidate.distance_error, 5e-5 + 2e-3 * explanation.score.coarseness);
}

/// False for a change that rounded logits may have caused.
bool large_enough(const Explanation& explanation) {
  const auto& candidate = explanation.candidate;
  if (explanation.score.coarseness < k_coarse || candidate.effect > k_smallest_coarse_effect) {
    return true;
  }
  return candidate.parts.size() == 1 && candidate.parts.front().id.starts_with("scale.")
         && candidate.effect
                > std::max(k_smallest_coarse_scale, k_many_errors * candidate.distance_error);
}

} // namespace

Explanation explain_with(const Context& context, Candidate candidate,
                         std::span<const std::size_t> rows) {
  Explanation best;
  best.candidate = std::move(candidate);
  const auto found = outcomes(context.sample, predictor_of(context, best.candidate), rows);
  if (found.empty()) {
    best.total = -k_infinity;
    return best;
  }
  // lse left unexplained is always an option: a broken out says nothing about lse, and the reverse.
  best.score = score(context.sample, found, {});
  const auto lse_rows = std::count_if(found.begin(), found.end(),
                                      [](const RowOutcome& outcome) { return outcome.has_lse; });
  const double few = best.candidate.few_rows
                         ? static_cast<double>(rows.size()) / static_cast<double>(found.size())
                         : 1.0;
  best.total = (best.score.likelihood + k_unexplained_lse * static_cast<double>(lse_rows)) * few
               - best.candidate.cost - 4.0;
  best.lse_explained = lse_rows == 0;
  if (lse_rows == 0) {
    best.total += 4.0;
    return best;
  }
  for (const auto& rule : lse_rules(context, best.candidate, found)) {
    try_rule(context, found, rule, few, best);
  }
  if (!best.lse_explained) {
    for (const auto& rule : transposed_lse(context, best.candidate, found)) {
      // Only some rows were computed: their fit decides, the others count as explained alike.
      const double ratio = lse_ratio(context.sample, found, rule.expected, 1.0);
      if (ratio > 0.0 && ratio < k_largest_lse_ratio) {
        best.lse_parts = rule.parts;
        best.lse_text = rule.text;
        best.lse_cost = rule.cost;
        best.lse_explained = true;
        best.score.lse_ratio = ratio;
        best.total += 10.0 * static_cast<double>(lse_rows);
        break;
      }
    }
  }
  return best;
}

std::vector<Explanation> explain_each(const Context& context, std::vector<Candidate> candidates,
                                      std::span<const std::size_t> rows) {
  std::vector<Explanation> explanations(candidates.size());
  parallel_for(candidates.size(), context.threads(), [&](std::size_t at) {
    explanations[at] = explain_with(context, std::move(candidates[at]), rows);
  });
  return explanations;
}

bool holds(const Context& context, const Explanation& explanation) {
  const auto& score = explanation.score;
  const bool merged = !explanation.candidate.parts.empty()
                      && explanation.candidate.parts.front().id.starts_with("merge.");
  if (score.coarseness > (merged ? k_largest_merged_coarseness : k_largest_coarseness)
      || !large_enough(explanation) || !near_enough(explanation)) {
    return false;
  }
  if (context.sample.any_out
      && !(score.out_ratio > 0.0
               ? score.out_ratio <= k_largest_out_ratio && score.worst_head <= k_largest_head_ratio
               : score.out_ratio == 0.0 && score.rows > 0)) {
    return false;
  }
  if (explanation.lse_explained && score.lse_ratio > k_largest_lse_ratio) {
    return false;
  }
  return context.sample.any_out || explanation.lse_explained;
}

bool settles(const Context& context, const Explanation& best) {
  return holds(context, best) && best.lse_explained && best.score.coarseness <= 0.1
         && (!context.sample.any_out || best.score.fine_ratio < k_fine_ratio);
}

std::vector<Candidate> survivors(std::vector<Explanation> screened) {
  std::vector<Candidate> kept;
  for (auto& explanation : screened) {
    const bool close = explanation.total > screened.front().total - k_screen_margin;
    const bool expected = explanation.candidate.parts.empty();
    if (expected || kept.size() < k_fewest_survivors || (close && kept.size() < k_survivors)) {
      kept.push_back(std::move(explanation.candidate));
    }
  }
  return kept;
}

namespace {

/// Candidates held against the probe rows, likeliest first.
class Screening {
public:
  /// Of the expectation alone.
  explicit Screening(const Context& context) : m_context(context) {
    Candidate expected;
    expected.mechanism = context.reference;
    screen({expected});
  }

  void add_linear() { add(linear_proposers(m_context), m_context.threads()); }

  void add(const std::vector<Proposer>& proposers, unsigned threads) {
    screen(gather(m_context, proposers, threads));
  }

  [[nodiscard]] bool empty() const { return m_screened.empty(); }
  [[nodiscard]] const Explanation& best() const { return m_screened.front(); }
  [[nodiscard]] bool is_settled() const { return settles(m_context, best()); }

  /// The best of them and the expectation, held against all rows.
  [[nodiscard]] std::vector<Explanation> finish() {
    std::vector<Candidate> kept = survivors(std::move(m_screened));
    parallel_for(kept.size(), m_context.threads(), [&](std::size_t at) {
      if (kept[at].complete) {
        kept[at].complete(kept[at]);
      }
    });
    auto result = explain_each(m_context, std::move(kept), m_context.rows);
    std::erase_if(result, [](const Explanation& one) { // one that predicts none of the rows
      return !std::isfinite(one.total) && !one.candidate.parts.empty();
    });
    std::stable_sort(result.begin(), result.end(), likelier);
    return result;
  }

private:
  void screen(std::vector<Candidate> candidates) {
    for (auto& explanation : explain_each(m_context, std::move(candidates), m_context.probe)) {
      if (std::isfinite(explanation.total)) {
        m_screened.push_back(std::move(explanation));
      }
    }
    std::stable_sort(m_screened.begin(), m_screened.end(), likelier);
  }

  static bool likelier(const Explanation& a, const Explanation& b) { return a.total > b.total; }

  const Context& m_context;
  std::vector<Explanation> m_screened;
};

} // namespace

std::vector<Explanation> explain(const Context& context) {
  Screening screening(context);
  if (screening.empty()) {
    return {};
  }
  const bool fine = screening.is_settled() && screening.best().parts() == 0;
  screening.add_linear();
  if (!fine && !screening.is_settled()) {
    const unsigned threads = threads_for_scans(context);
    std::vector<Proposer> of_keys = {propose_extra_mass};
    if (context.sample.any_out) {
      of_keys.insert(of_keys.begin(),
                     {propose_masks, propose_merges, propose_phases, propose_pages});
    }
    screening.add(of_keys, threads);
    if (!screening.is_settled()) {
      screening.add({propose_temperature, propose_rope, propose_values, propose_output}, threads);
    }
  }
  return screening.finish();
}

std::vector<Explanation> explain_linearly(const Context& context) {
  Screening screening(context);
  if (screening.empty()) {
    return {};
  }
  screening.add_linear();
  if (!screening.is_settled()) {
    return {};
  }
  auto explanations = screening.finish();
  if (!settles(context, explanations.front())) {
    explanations.clear();
  }
  return explanations;
}

} // namespace mla_scale::diagnose
