#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/reference/problem.hpp>

namespace mla_scale::diagnose {

/// Adds output.nan when out holds NaN or infinities; true when there are none. Reads all of out.
bool report_not_finite(const reference::Problem& problem, const tensor::Capture& capture,
                       const Expectation& expectation, Report& report);

} // namespace mla_scale::diagnose
