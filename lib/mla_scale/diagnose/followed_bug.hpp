#pragma once

#include <mla_scale/compare/judge.hpp>
#include <mla_scale/diagnose/report.hpp>

namespace mla_scale::diagnose {

/// True when the lse of a match follows a bug far better than chance: few rows of absorbed decode
/// may lack a key of small probability within what rounding the query may do. Only of bugs of which
/// keys take part, which have no real number to fit.
[[nodiscard]] bool follows_a_bug(const compare::Judgement& judgement, const Report& report);

} // namespace mla_scale::diagnose
