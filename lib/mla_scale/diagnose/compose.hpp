#pragma once

#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <vector>

namespace mla_scale::diagnose {

/// The scales that have a name of their own, each value once: those that differ by less than 5e-4
/// go by the first one's.
[[nodiscard]] std::vector<ScaleCandidate> different_scales(const Expectation& expectation);

/// Two bugs at once: one of the named scales, and a mask, merge or extra mass on top. Only
/// for captures that one bug does not explain: it tries every named scale. Best first.
[[nodiscard]] std::vector<Explanation> explain_composed(const Context& context);

} // namespace mla_scale::diagnose
