#pragma once

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/score.hpp>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// One way in which the captured lse may follow from a prediction.
struct LseRule {
  std::vector<Part> parts; ///< lse.base2, ...; none when lse is what it should be
  std::string text;
  double cost = 0.0;
  std::vector<double> expected; ///< one for each outcome
  double effect = 1.0;          ///< relative change of lse, see Candidate::effect
  double of_maximum = 0.0;      ///< times that the row's largest logit is in it beyond its part
};

/// All ways worth trying for a candidate's outcomes; the natural one first. Without transposition.
[[nodiscard]] std::vector<LseRule> lse_rules(const Context& context, const Candidate& candidate,
                                             std::span<const RowOutcome> outcomes);

/// lse written in one order of rows and heads and read in the other. Looks at rows outside the
/// sample: only for candidates that move nothing but factors.
[[nodiscard]] std::vector<LseRule> transposed_lse(const Context& context,
                                                  const Candidate& candidate,
                                                  std::span<const RowOutcome> outcomes);

/// The factor c with lse' = c · lse in every row of the expectation's outcomes; nothing when no
/// factor explains them.
[[nodiscard]] std::optional<double> lse_multiple(const Context& context,
                                                 std::span<const RowOutcome> outcomes);

} // namespace mla_scale::diagnose
