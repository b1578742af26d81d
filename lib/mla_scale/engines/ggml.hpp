#pragma once

#include <mla_scale/engines/engine_rule.hpp>

namespace mla_scale::engines {

/// kq_scale of llama.cpp's deepseek2 graph since #18006 (ggml-org/llama.cpp
/// src/models/deepseek2.cpp@663054a82 L160, llama-context.cpp L190).
///
/// attn_org = attn_factor * (m(mscale) / m(mscale_all_dim) under yarn, m(1) without a
/// yarn_log_multiplier; 1 + 0.1 ln f for other types); kq_scale = (attn_org * (1 + 0.1 *
/// mscale_all_dim * ln f))^2 / sqrt(key_length_mla); cos and sin * attn_org under yarn. A config
/// that is no GGUF is taken through what convert_hf_to_gguf.py would write.
[[nodiscard]] Numbers llama_cpp(const EngineRule& rule, const model::MlaConfig& config);

/// The two days of #17945: without a yarn_log_multiplier there is no correction at all.
[[nodiscard]] Numbers llama_cpp_17945(const EngineRule& rule, const model::MlaConfig& config);

/// #7519 to 2025-12-11, and ik_llama.cpp: (attn_factor * (1 + yarn_log_multiplier * ln f))^2 /
/// sqrt(head_k), with the multiplier as stored; cos and sin end up multiplied by 1.
[[nodiscard]] Numbers llama_cpp_7519(const EngineRule& rule, const model::MlaConfig& config);

/// Ollama's Go engine: (1 + yarn_log_multiplier * ln f)^2 / sqrt(attention.key_length), which is
/// the latent width in a GGUF of llama.cpp's MLA layout.
[[nodiscard]] Numbers ollama_go(const EngineRule& rule, const model::MlaConfig& config);

} // namespace mla_scale::engines
