#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/reference/problem.hpp>

#include <vector>

namespace mla_scale::diagnose {

/// Hypotheses that this capture and this config cannot decide, whatever out holds, with what would.
[[nodiscard]] std::vector<NotIdentifiable> not_identifiable(const reference::Problem& problem,
                                                            const tensor::Capture& capture,
                                                            const Expectation& expectation);

} // namespace mla_scale::diagnose
