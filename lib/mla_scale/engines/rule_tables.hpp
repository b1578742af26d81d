#pragma once

// The groups that engine_rules() joins; one file each.

#include <mla_scale/engines/engine_rule.hpp>

namespace mla_scale::engines {

[[nodiscard]] std::span<const EngineRule> vllm_rules();
[[nodiscard]] std::span<const EngineRule> transformers_rules();
[[nodiscard]] std::span<const EngineRule> serving_rules();
[[nodiscard]] std::span<const EngineRule> local_rules();
[[nodiscard]] std::span<const EngineRule> training_rules();
[[nodiscard]] std::span<const EngineRule> kernel_rules();

} // namespace mla_scale::engines
