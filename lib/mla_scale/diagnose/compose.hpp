#pragma once

#include <mla_scale/diagnose/explanation.hpp>

#include <vector>

namespace mla_scale::diagnose {

/// Two bugs at once: one of the named scales, and a mask, merge or extra mass on top. Only
/// for captures that one bug does not explain: it tries every named scale. Best first.
[[nodiscard]] std::vector<Explanation> explain_composed(const Context& context);

} // namespace mla_scale::diagnose
