#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

// Two code paths in one row: the cached context attended to with one scale, the new tokens with
// another, and the two merged rightly.

namespace mla_scale::diagnose {

void propose_phases(const Context& context, std::vector<Candidate>& candidates) {
  const bool prefix = std::any_of(context.rows.begin(), context.rows.end(), [&](std::size_t row) {
    return context.sample.rows[row].prefix > 0;
  });
  if (!prefix) {
    return;
  }
  for (const auto& named : scale_candidates(context.expectation)) {
    const double ratio = named.value / context.reference.scale;
    for (const bool in_context : {true, false}) {
      Candidate candidate;
      candidate.mechanism = context.reference;
      candidate.mechanism.bend = [ratio, in_context](const Row& row, std::span<double> logits) {
        const auto boundary = std::min(row.prefix, logits.size());
        const auto part = in_context ? logits.first(boundary) : logits.subspan(boundary);
        for (double& logit : part) {
          logit *= ratio;
        }
        hide_future(row, logits);
      };
      const std::string where = in_context ? "cached context" : "new tokens";
      candidate.cost = 2.0 + k_cost_of_scan;
      candidate.effect = std::abs(ratio - 1.0);
      candidate.parts.push_back(
          {named.id,
           {{"softmax_scale", named.value},
            {"expected", context.reference.scale},
            {"ratio", ratio},
            {"formula", named.formula},
            {"where", where}},
           fmt::format("keys of the {} have scale {:.7g} ({}), the others the expected", where,
                       named.value, named.formula)});
      candidates.push_back(std::move(candidate));
    }
  }
}

} // namespace mla_scale::diagnose
