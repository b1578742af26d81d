#pragma once

#include <mla_scale/compare/level_test.hpp>

#include <vector>

namespace mla_scale::compare {

/// How far the bulk of a capture is from what a level predicts, |ln(bulk)|; infinity when the level
/// is out.
[[nodiscard]] double distance_from(const LevelResult& result, const Evidence& evidence);

/// The level whose tests pass, nearest first; else the nearest; else the loosest, so that the
/// report says how far the capture is even from that.
/// \pre results of at least one level, tightest first
[[nodiscard]] LevelResult nearest_level(std::vector<LevelResult> results, const Evidence& evidence);

} // namespace mla_scale::compare
