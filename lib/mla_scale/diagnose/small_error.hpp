#pragma once

#include <mla_scale/compare/judge.hpp>
#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>

namespace mla_scale::diagnose {

/// Of a mismatch so small that no hypothesis is likelier than the expectation: what the
/// comparison's fit says.
void explain_small_error(const Expectation& expectation, const compare::Judgement& judgement,
                         Report& report);

} // namespace mla_scale::diagnose
