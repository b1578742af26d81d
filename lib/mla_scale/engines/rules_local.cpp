#include <mla_scale/engines/ggml.hpp>
#include <mla_scale/engines/rule_tables.hpp>

namespace mla_scale::engines {
namespace {

/// ggml-org/llama.cpp src/models @663054a82: the MLA graphs that are not deepseek2's.
constexpr FamilyNote k_llama[] = {
    {"kimi_linear", Treatment::plain, "kimi-linear: 1/sqrt(key_length_mla), NoPE"},
    {"minicpm3", Treatment::plain, "minicpm3.cpp L68: 1/sqrt(key_length)"},
    {"plm", Treatment::plain, "plm.cpp L49: 1/sqrt(key_length)"},
    {"deepseek_v2 deepseek_v3 deepseek_v32 deepseek2 kimi_k25 youtu glm4_moe_lite glm_moe_dsa "
     "mistral4 "
     "mistral_large_3",
     Treatment::rule,
     {}},
};

constexpr FamilyNote k_ollama[] = {
    {"glm4_moe_lite", Treatment::ordinary_heads,
     "glm4moelite: 1/sqrt(qk_head_dim) since v0.15.1 (v0.15.0 took the latent width)"},
};

constexpr FamilyNote k_ollama_0150[] = {
    {"glm4_moe_lite", Treatment::plain, "glm4moelite"},
};

constexpr FamilyNote k_exllama[] = {
    {"mistral4", Treatment::plain, "architecture/mistral4.py L71: no mscale"},
};

constexpr std::string_view k_every_yarn_key =
    "type factor original_max_position_embeddings beta_fast beta_slow mscale mscale_all_dim";

constexpr EngineRule k_local_rules[] = {
    {.id = "llama.cpp",
     .name = "llama.cpp",
     .versions = "since #18006 (609a2d026, 2025-12-14); read at 663054a82 (2026-07-24)",
     .gate = Gate::always,
     .mistral = MistralReading::ignored,
     .mistral_words = "the converter writes it whatever apply_scale says",
     .families = k_llama,
     .reads_gguf = true,
     .special = llama_cpp,
     .formula = "(attn_factor * g(factor, mscale) / g(factor, mscale_all_dim) * (1 + 0.1 * "
                "mscale_all_dim * ln factor))^2 / sqrt(key_length_mla), mscale_all_dim = "
                "yarn_log_multiplier / 0.1; under yarn without a yarn_log_multiplier, and for "
                "other types with a factor, (1 + 0.1 * ln factor)^2 / sqrt(key_length_mla)",
     .note = "yarn_beta_fast and yarn_beta_slow are not read for deepseek2: always 32 and 1. GGUF "
             "has no key for mscale",
     .source =
         "ggml-org/llama.cpp src/models/deepseek2.cpp@663054a82 L160, llama-context.cpp L190"},
    {.id = "llama.cpp@17945",
     .name = "llama.cpp",
     .versions = "#17945 (7bed317f5, 2025-12-12) to #18006 (2025-12-14)",
     .gate = Gate::always,
     .mistral = MistralReading::ignored,
     .families = k_llama,
     .reads_gguf = true,
     .special = llama_cpp_17945,
     .formula = "(attn_factor * g(factor, mscale) / g(factor, mscale_all_dim) * (1 + 0.1 * "
                "mscale_all_dim * ln factor))^2 / sqrt(key_length_mla); nothing without a "
                "yarn_log_multiplier",
     .source = "https://github.com/ggml-org/llama.cpp/pull/17945, /pull/18006"},
    {.id = "llama.cpp@7519",
     .name = "llama.cpp",
     .versions = "#7519 (ee3dff6b8, 2024-05-28) to 2025-12-11",
     .gate = Gate::always,
     .families = k_llama,
     .reads_gguf = true,
     .special = llama_cpp_7519,
     .formula = "(attn_factor * (1 + yarn_log_multiplier * ln factor))^2 / sqrt(head_k)",
     .note = "yarn_log_multiplier was mandatory until #14896 (2025-07-27)",
     .source = "https://github.com/ggml-org/llama.cpp/pull/7519, /pull/12801, /pull/14896"},
    {.id = "ik-llama.cpp",
     .name = "ik_llama.cpp",
     .versions = "@8337e4cd",
     .gate = Gate::always,
     .reads_gguf = true,
     .special = llama_cpp_7519,
     .formula = "(attn_factor * (1 + yarn_log_multiplier * ln factor))^2 / sqrt(head_k)",
     .note = "the multiplier as stored, 0.1 * mscale_all_dim; no gate on the type",
     .source = "ikawrakow/ik_llama.cpp src/graphs/build_deepseek2.cpp@8337e4cd L1250"},
    {.id = "ollama",
     .name = "Ollama, Go engine",
     .versions = "v0.13.0 to v0.29; removed in v0.30.0",
     .gate = Gate::always,
     .families = k_ollama,
     .only_families = "deepseek_v2 deepseek_v3 deepseek2 kimi_k25 youtu glm4_moe_lite unknown",
     .reads_gguf = true,
     .special = ollama_go,
     .formula = "(1 + yarn_log_multiplier * ln factor)^2 / sqrt(attention.key_length)",
     .note = "key_length is the latent width in a GGUF of llama.cpp's MLA layout; no issue says so",
     .source = "ollama/ollama model/models/deepseek2/model.go",
     .certainty = Certainty::inferred},
    {.id = "ollama@0.15.0",
     .name = "Ollama, Go engine, glm4moelite",
     .versions = "v0.15.0; fixed in v0.15.1 (#13893)",
     .key = Key::none,
     .cos_sin = CosSin::unknown,
     .prefill = {.width = Width::latent_dim},
     .decode = {.width = Width::latent_dim},
     .families = k_ollama_0150,
     .only_families = "glm4_moe_lite",
     .source = "https://github.com/ollama/ollama/pull/13893"},
    {.id = "mlx-lm",
     .name = "MLX-LM",
     .versions = "@d78bf58e",
     .gate = Gate::all_dim_key,
     .missing_factor = MissingFactor::one,
     .without_dictionary = "TypeError: 'NoneType' object is not subscriptable",
     .without_dictionary_families = "deepseek_v2",
     .note = "the V2 file needs a rope_scaling; LongCat lacked mscale until v0.30.4 (#768)",
     .source = "ml-explore/mlx-lm mlx_lm/models/deepseek_v3.py@d78bf58e L68, L102"},
    {.id = "mlx-swift-lm",
     .name = "MLX Swift LM",
     .versions = "@14414441",
     .gate = Gate::dictionary,
     .missing_factor = MissingFactor::one,
     .source = "ml-explore/mlx-swift-lm MLXLLM/Models/DeepseekV3.swift@14414441 L158"},
    {.id = "mistral.rs",
     .name = "mistral.rs",
     .versions = "@9e922623",
     .gate = Gate::yarn,
     .type = TypeReading::type_or_none,
     .required = k_every_yarn_key,
     .required_or_off = true,
     .rope_scaling_only = true,
     .reads_gguf = true,
     .note =
         "YaRN only when every key of it is there, type included; from GGUF mscale is fixed at 1",
     .source = "EricLBuehler/mistral.rs models/deepseek3.rs, layers.rs@9e922623 L1950"},
    {.id = "candle",
     .name = "candle",
     .versions = "@2a13b0f3",
     .gate = Gate::yarn,
     .type = TypeReading::type_or_none,
     .required = k_every_yarn_key,
     .required_or_off = true,
     .rope_scaling_only = true,
     .source = "huggingface/candle candle-transformers/src/models/deepseek2.rs@2a13b0f3 L506"},
    {.id = "tinygrad",
     .name = "tinygrad",
     .versions = "@a9069c17",
     .key = Key::none,
     .cos_sin = CosSin::one,
     .reads_gguf = true,
     .formula = "1/sqrt(key_length_mla, or key_length)",
     .note = "no YaRN at all, in the frequencies neither",
     .source = "tinygrad/tinygrad tinygrad/llm/model.py@a9069c17 L208"},
    {.id = "exllamav3",
     .name = "ExLlamaV3",
     .versions = "@4f8ad012",
     .gate = Gate::all_dim_key,
     .missing_factor = MissingFactor::one,
     .cos_sin = CosSin::unknown,
     .families = k_exllama,
     .source = "turboderp-org/exllamav3 architecture/deepseek_v3.py@4f8ad012 L80"},
    {.id = "chatllm.cpp",
     .name = "chatllm.cpp",
     .versions = "@4a4310e",
     .gate = Gate::original_given,
     .mistral_words = "mscale_all_dim comes from the HuggingFace config",
     .source = "foldl/chatllm.cpp models/deepseek.h@4a4310e L412, models/mistral.cpp L901"},
    {.id = "mlc-llm",
     .name = "MLC LLM",
     .versions = "@79d603f0",
     .gate = Gate::dictionary,
     .cos_sin = CosSin::unknown,
     .source = "mlc-ai/mlc-llm deepseek_v2_model.py@79d603f0 L261"},
    {.id = "mobius",
     .name = "ONNX Runtime mobius",
     .versions = "since #548 (2026-08-22)",
     .gate = Gate::dictionary,
     .source = "https://github.com/onnxruntime/mobius/pull/548"},
    {.id = "mobius@before-548",
     .name = "ONNX Runtime mobius",
     .versions = "cc1fc14d (2026-03-17) to #548 (2026-08-22)",
     .gate = Gate::dictionary,
     .prefill = {.magnitude = false},
     .decode = {.magnitude = false},
     .only_families = k_deepseek_models,
     .source = "onnxruntime/mobius components/_deepseek_mla.py@78437cd0 L97"},
};

} // namespace

std::span<const EngineRule> local_rules() {
  return k_local_rules;
}

} // namespace mla_scale::engines
