#pragma once

#include <mla_scale/engines/engine_rule.hpp>

namespace mla_scale::engines {

/// NeMo Automodel: g(factor, mscale)^2 above the original length, the bare mscale^2 up to it
/// (components/models/deepseek_v3/layers.py@36044ad3 L115). Training only: one scale.
[[nodiscard]] Numbers nemo_automodel(const EngineRule& rule, const model::MlaConfig& config);

} // namespace mla_scale::engines
