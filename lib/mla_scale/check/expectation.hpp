#pragma once

#include <mla_scale/compare/judge.hpp>
#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/model/mla_config.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <vector>

namespace mla_scale::check {

/// The widths that tell a capture's layout. \pre an MLA config with all of them
[[nodiscard]] tensor::Geometry geometry_of(const model::MlaConfig& config);

/// What the model wants, as plain numbers, and what engines would compute instead.
[[nodiscard]] diagnose::Expectation expectation_of(const model::MlaConfig& config,
                                                   const scale::SoftmaxScale& scale,
                                                   double softmax_scale);

/// Scales that a capture must be able to tell from the right one: the wrong scales that the
/// config's numbers can produce.
[[nodiscard]] std::vector<compare::Rival> rivals_of(const diagnose::Expectation& expectation);

} // namespace mla_scale::check
