#include <mla_scale/diagnose/compose.hpp>
#include <mla_scale/diagnose/named_scale.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace mla_scale::diagnose {

std::vector<ScaleCandidate> different_scales(const Expectation& expectation) {
  std::vector<ScaleCandidate> different;
  for (auto& named : scale_candidates(expectation)) {
    const bool known = std::any_of(different.begin(), different.end(), [&](const auto& other) {
      return std::abs(other.value / named.value - 1.0) < 5e-4;
    });
    if (!known) {
      different.push_back(std::move(named));
    }
  }
  return different;
}

namespace {

/// What could explain the rows beside a scale, by scans of few of them.
std::vector<Candidate> beside(const Context& context, const ScaleCandidate& named,
                              const std::vector<std::size_t>& few) {
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
      named.id, scale_parameters({named.value, context.reference.scale, named.formula, {}}),
      fmt::format("with scale {:.7g} ({}) and a second bug", named.value, named.formula)};
  for (auto& candidate : candidates) {
    candidate.parts.insert(candidate.parts.begin(), part);
    candidate.cost += 4.0;
  }
  return candidates;
}

} // namespace

std::vector<Explanation> explain_composed(const Context& context) {
  // Seventeen scales times all scans: a dozen rows must do for the search.
  std::vector<std::size_t> few;
  for (std::size_t at = 0; at < context.probe.size(); at += 1 + context.probe.size() / 13) {
    few.push_back(context.probe[at]);
  }
  std::vector<Proposer> proposers;
  for (const ScaleCandidate& scale : different_scales(context.expectation)) {
    proposers.emplace_back([&few, scale](const Context& of, std::vector<Candidate>& candidates) {
      candidates = beside(of, scale, few);
    });
  }
  auto screened =
      explain_each(context, gather(context, proposers, threads_for_scans(context)), few);
  std::erase_if(screened,
                [](const Explanation& explanation) { return !std::isfinite(explanation.total); });
  const auto better = [](const Explanation& a, const Explanation& b) { return a.total > b.total; };
  std::stable_sort(screened.begin(), screened.end(), better);
  std::vector<Candidate> survivors;
  for (std::size_t at = 0; at < std::min<std::size_t>(3, screened.size()); ++at) {
    survivors.push_back(std::move(screened[at].candidate));
  }
  auto result = explain_each(context, std::move(survivors), context.rows);
  std::stable_sort(result.begin(), result.end(), better);
  return result;
}

} // namespace mla_scale::diagnose
