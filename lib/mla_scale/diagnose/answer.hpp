#pragma once

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/report.hpp>

#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// The expectation itself. \pre it is among them
[[nodiscard]] const Explanation& expectation_among(const std::vector<Explanation>& explanations);

/// Says in the report that the rows are healthy, or which bugs explain them; `where` ends the
/// evidence of each. False, and the report as it was, when neither.
/// \pre the expectation is among the explanations
[[nodiscard]] bool answer(const Context& context, const std::vector<Explanation>& explanations,
                          const std::string& where, Report& report);

/// NaN in exactly the rows that, by the explanation, see no key needs no finding of its own.
/// \pre answer() of the same
void drop_explained_nan(const Context& context, const std::vector<Explanation>& explanations,
                        Report& report);

} // namespace mla_scale::diagnose
