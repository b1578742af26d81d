#pragma once

#include <mla_scale/compare/judge.hpp>
#include <mla_scale/compare/level_test.hpp>

#include <optional>
#include <vector>

namespace mla_scale::compare {

/// The fit that says most: from lse when its residual is what rounding leaves, else from out.
[[nodiscard]] std::optional<ScaleFit> better_fit(const Evidence& evidence,
                                                 const LevelResult& level);

/// Adds what the rows of a fit cannot show: where they are few, by luck, the noise of a healthy
/// kernel of the level; and what rounding does to all rows alike.
void take_noise(double noise, double bias, ScaleFit& fit);

/// Relative standard error that the scale can be told with, at best, from these inputs and a
/// healthy kernel of the level; from the outputs that are present.
[[nodiscard]] double scale_resolution(const Evidence& evidence, const LevelResult& level);

/// Which rivals of `softmax_scale` a scale told with this relative standard error is not. Rivals
/// that are that scale themselves are left out.
[[nodiscard]] std::vector<RivalOutcome> meet_rivals(const std::vector<Rival>& rivals,
                                                    double softmax_scale, double resolution);

} // namespace mla_scale::compare
