#pragma once

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/explanation.hpp>

#include <vector>

namespace mla_scale::diagnose {

/// True when `simple` leaves as little as `best`: then fewer free numbers win.
[[nodiscard]] bool as_good(const Explanation& simple, const Explanation& best);

/// The first of the explanations, likeliest first, that holds, or a simpler one that leaves as
/// little; nullptr when none holds.
[[nodiscard]] const Explanation* best_that_holds(const Context& context,
                                                 const std::vector<Explanation>& explanations);

/// True when the expectation holds, and `best` is not so much likelier that it were a finding.
[[nodiscard]] bool is_healthy(const Context& context, const Explanation& expected,
                              const Explanation& best);

/// Those that explain the rows about as well as `best`, which is one of them, with no more free
/// numbers: the capture does not decide between them.
[[nodiscard]] std::vector<const Explanation*> rivals(const Context& context,
                                                     const std::vector<Explanation>& explanations,
                                                     const Explanation& best);

} // namespace mla_scale::diagnose
