#pragma once

#include <mla_scale/compare/judge.hpp>
#include <mla_scale/core/result.hpp>
#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

namespace mla_scale::diagnose {

/// diagnose() of a capture that was judged: it looks first where the comparison saw the largest
/// errors. A mismatch always has a finding or a reason why there is none. What is no mismatch is
/// looked at for notes and for what it cannot tell, in few heads; a match has a finding only where
/// its errors, small as they are, follow a bug of which keys take part to the last digit.
///
/// \pre `judgement` is compare::judge() of the same problem and capture
/// Errors: those of reference::validate().
[[nodiscard]] Result<Report> diagnose_judged(const reference::Problem& problem,
                                             const tensor::Capture& capture,
                                             const Expectation& expectation,
                                             const compare::Judgement& judgement);

} // namespace mla_scale::diagnose
