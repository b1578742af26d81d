#pragma once

#include <mla_scale/engines/engine_rule.hpp>

namespace mla_scale::engines {

/// The arithmetic that nearly all rows share: width^-1/2 * g(factor, weight)^2 for each phase, and
/// the cos/sin factor.
///
/// `note` is what the row says about this family, null for nothing; `plain` that the family takes
/// no magnitude in this engine. Where the engine would fail, Numbers has its error and no scales.
[[nodiscard]] Numbers ordinary_numbers(const EngineRule& rule, const model::MlaConfig& config,
                                       const FamilyNote* note, bool plain);

/// Numbers of an engine that fails with `error`, and why.
[[nodiscard]] Numbers failing_numbers(std::string error, std::string why);

} // namespace mla_scale::engines
