#pragma once

#include <mla_scale/compare/judge.hpp>

namespace mla_scale::compare {

/// The verdict and the reasons for it, by what was found of out and of lse.
void conclude(Judgement& judgement);

/// A match becomes inconclusive where a rival would have matched as well; without rivals, where the
/// scale is told with a relative standard error, `resolution`, that is too large to mean much.
void add_weakness(Judgement& judgement, double resolution);

/// What was held against no floor neither matches nor mismatches: a NaN of the inputs may have
/// spread to rows that do not see it.
void leave_unjudged(Judgement& judgement);

} // namespace mla_scale::compare
