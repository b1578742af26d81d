#pragma once

#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/report.hpp>

#include <vector>

namespace mla_scale::diagnose {

/// What a report says of the explanations that competed for the context's rows: the expectation and
/// the best of each set of identifiers, in the order given.
[[nodiscard]] std::vector<Considered> considered(const Context& context,
                                                 const std::vector<Explanation>& explanations);

} // namespace mla_scale::diagnose
