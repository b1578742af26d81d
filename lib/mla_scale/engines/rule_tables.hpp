#pragma once

// The groups that engine_rules() joins; one file each.

#include <mla_scale/engines/engine_rule.hpp>

namespace mla_scale::engines {

/// Families that load through an engine's file for DeepSeek-V2 and V3 and nothing else.
inline constexpr std::string_view k_deepseek_models =
    "deepseek_v2 deepseek_v3 deepseek_v32 deepseek2 kimi_k25 unknown";

[[nodiscard]] std::span<const EngineRule> vllm_rules();
[[nodiscard]] std::span<const EngineRule> transformers_rules();
[[nodiscard]] std::span<const EngineRule> serving_rules();
[[nodiscard]] std::span<const EngineRule> local_rules();
[[nodiscard]] std::span<const EngineRule> training_rules();
[[nodiscard]] std::span<const EngineRule> kernel_rules();

} // namespace mla_scale::engines
