#include <mla_scale/model/family.hpp>

#include <array>

namespace mla_scale::model {
namespace {

constexpr std::string_view k_law =
    "qk_head_dim^-1/2 * g(factor, mscale_all_dim)^2 for any rope type but \"default\"";
constexpr std::string_view k_plain = "qk_head_dim^-1/2, whatever the rope keys say";
constexpr std::string_view k_shared = "head_dim^-1/2, never mscale";
constexpr std::string_view k_hf = "class defaults of transformers 5.17.0 (executed)";
constexpr bool k_interleaved = true;
constexpr bool k_half_split = false;

/// heads, hidden, layers, q_lora, kv_lora, nope, rope, v, max positions, theta, source
constexpr ClassDefaults k_v2{32, 4096, 32, 1536, 512, 128, 64, 128, 2048, 10000, k_hf};
constexpr ClassDefaults k_v3{128, 7168, 61, 1536, 512, 128, 64, 128, 4096, 10000, k_hf};
constexpr ClassDefaults k_v32{128, 7168, 61, 1536, 512, 128, 64, 128, 163840, 10000, k_hf};
constexpr ClassDefaults k_glm_dsa{64, 6144, 78, 2048, 512, 192, 64, 256, 202752, 10000, k_hf};
constexpr ClassDefaults k_glm_lite{20, 2048, 47, 768, 512, 192, 64, 256, 202752, 10000, k_hf};
constexpr ClassDefaults k_glm5_next{64, 4096, 45, 1536, 512, 256, 0, 256, 1048576, 10000, k_hf};
constexpr ClassDefaults k_longcat{64, 6144, 56, 1536, 512, 128, 64, 128, 131072, 1e7, k_hf};
constexpr ClassDefaults k_minicpm3{40, 2560, 62, 768, 256, 64, 32, 64, 32768, 10000, k_hf};
constexpr ClassDefaults k_mistral4{32, 4096, 36, 1024, 256, 64, 64, 128, 1048576, 10000, k_hf};
constexpr ClassDefaults k_youtu{16, 2048, 32, 1536, 512, 128, 64, 128, 131072, 10000, k_hf};
constexpr ClassDefaults k_axk1{64, 7168, 61, 1536, 512, 128, 64, 128, 32768, 10000, k_hf};
constexpr ClassDefaults k_axk2{32, 2048, 48, 384, 128, 64, 32, 64, 131072, 10000, k_hf};
constexpr ClassDefaults k_hy_v4{32, 2816, 34, 1536, 512, 192, 64, 256, 262144, 10000, k_hf};
constexpr ClassDefaults k_kimi_linear{32, 2304, 27, 0, 512, 128, 64, 128, 1048576, 10000, k_hf};
constexpr ClassDefaults k_bailing{
    -1,
    -1,
    -1,
    -1,
    -1,
    128,
    64,
    128,
    -1,
    10000,
    "vllm-project/vllm vllm/model_executor/models/bailing_moe_linear.py@055e47c2"};
constexpr ClassDefaults k_v4{64, 4096, 43, 1024, -1, -1, 64, -1, 1048576, 10000, k_hf};
constexpr ClassDefaults k_nothing{};

constexpr std::array k_families = {
    Family{"deepseek_v41", "DeepSeek V4.1", "deepseek_v41 deepseek_v41_text", "DeepseekV41*", "",
           AttentionKind::shared_kv, ScaleRule::never, k_interleaved, false, k_v4,
           "per-head attention sinks, compressed layers chosen by compress_ratios, output rotated "
           "back",
           k_shared,
           "huggingface/transformers models/deepseek_v41/configuration_deepseek_v41.py@f026c831"},
    Family{"deepseek_v4", "DeepSeek V4", "deepseek_v4 deepseek_ref deepseek_v4_mtp",
           "DeepseekV4* DeepSeekV4*", "deepseek4", AttentionKind::shared_kv, ScaleRule::never,
           k_interleaved, false, k_v4,
           "per-head attention sinks, compressed layers chosen by compress_ratios, sliding window "
           "on every layer, output "
           "rotated back by the query's angle",
           k_shared,
           "huggingface/transformers models/deepseek_v4/modular_deepseek_v4.py@decba1d2 L677; "
           "vllm-project/vllm vllm/models/deepseek_v4/attention.py@0484480b"},
    Family{"deepseek_v32", "DeepSeek V3.2", "deepseek_v32", "DeepseekV32*", "deepseek32",
           AttentionKind::mla, ScaleRule::deepseek, k_interleaved, false, k_v32,
           "a sparse indexer chooses the keys; its own scale is index_head_dim^-1/2 and takes no "
           "mscale",
           k_law,
           "huggingface/transformers models/deepseek_v32@513146c175; deepseek-ai/DeepSeek-V3.2-Exp "
           "inference/model.py L526"},
    Family{"deepseek_v3", "DeepSeek V3, R1, Kimi K2, Moonlight", "deepseek_v3 kimi_k2 deepseek_r1",
           "DeepseekV3* DeepSeekV3* KimiK2ForCausalLM", "", AttentionKind::mla, ScaleRule::deepseek,
           std::nullopt, false, k_v3, "", k_law,
           "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788 L434; huggingface/transformers "
           "models/deepseek_v3@decba1d2"},
    Family{
        "deepseek_mtp", "multi-token-prediction and eagle heads of DeepSeek models", "deepseek_mtp",
        "DeepSeekMTP* DeepseekMTP* EagleDeepSeek* EagleDeepseek* Eagle3DeepSeek* Eagle3Deepseek*",
        "", AttentionKind::mla, ScaleRule::deepseek, std::nullopt, false, k_v3, "", k_law,
        "vllm-project/vllm vllm/model_executor/models/deepseek_mtp.py; registry"},
    Family{"deepseek_v2", "DeepSeek V2, V2-Lite, Coder-V2, V2.5", "deepseek_v2",
           "DeepseekV2* DeepSeekV2*", "", AttentionKind::mla, ScaleRule::deepseek, k_interleaved,
           false, k_v2, "", k_law,
           "huggingface/transformers models/deepseek_v2/modular_deepseek_v2.py@decba1d2 L239 "
           "(since 4a1c4b1a69)"},
    Family{"deepseek2",
           "GGUF architecture of DeepSeek V2, V3, R1, Kimi K2, Moonlight, GLM-4.7-Flash and others",
           "", "", "deepseek2", AttentionKind::mla, ScaleRule::deepseek, k_interleaved, false,
           k_nothing, "", k_law, "ggml-org/llama.cpp src/models/deepseek2.cpp@663054a82 L160"},
    Family{"kimi_k25", "Kimi K2.5, K2.6, K2.7", "kimi_k25 kimi_vl", "KimiK25* KimiVL*", "",
           AttentionKind::mla, ScaleRule::deepseek, std::nullopt, false, k_v3, "", k_law,
           "huggingface/transformers models/kimi_k25/modular_kimi_k25.py@decba1d2 L162"},
    Family{"k3_dspark", "DSpark draft of Kimi K3", "k3_dspark", "K3DSpark*", "", AttentionKind::mla,
           ScaleRule::deepseek, k_interleaved, false, k_nothing,
           "decodes several tokens without a causal mask between them", k_law,
           "vllm-project/vllm vllm/models/kimi_k3/amd/dspark_mla.py"},
    Family{"kimi_k3", "Kimi K3", "kimi_k3", "KimiK3*", "kimi-k3", AttentionKind::mla_nope,
           ScaleRule::never, std::nullopt, false, k_kimi_linear,
           "sigmoid output gate after attention; linear attention on the other layers", k_plain,
           "vllm-project/vllm vllm/models/kimi_k3/nvidia/mla.py@01b867e8; huggingface/transformers "
           "modular_kimi_k3.py@e6ffd134"},
    Family{"kimi_linear", "Kimi Linear", "kimi_linear", "KimiLinear*", "kimi-linear",
           AttentionKind::mla_nope, ScaleRule::never, std::nullopt, false, k_kimi_linear,
           "linear attention (KDA) on the other layers", k_plain,
           "vllm-project/vllm vllm/model_executor/models/kimi_linear.py@01d99586; "
           "huggingface/transformers "
           "modular_kimi_linear.py@b4f5cc99"},
    Family{"glm5_next", "GLM-5.3-Flash", "glm5_next glm5_next_text", "Glm5Next*", "glm5next",
           AttentionKind::mla_nope, ScaleRule::never, std::nullopt, false, k_glm5_next,
           "a sparse indexer chooses the keys; linear attention (KDA) on three of four layers",
           k_plain, "huggingface/transformers models/glm5_next/modular_glm5_next.py@95d5838b"},
    Family{"glm_moe_dsa", "GLM-5, 5.1, 5.2", "glm_moe_dsa", "GlmMoeDsa*", "glm-dsa",
           AttentionKind::mla, ScaleRule::deepseek, k_interleaved, false, k_glm_dsa,
           "a sparse indexer chooses the keys", k_law,
           "huggingface/transformers models/glm_moe_dsa@decba1d2"},
    Family{
        "glm4_moe_lite", "GLM-4.7-Flash", "glm4_moe_lite glm4_moe_lite_mtp", "Glm4MoeLite*", "",
        AttentionKind::mla, ScaleRule::deepseek, std::nullopt, false, k_glm_lite, "", k_law,
        "huggingface/transformers models/glm4_moe_lite@decba1d2; vllm glm4_moe_lite.py@055e47c2"},
    Family{
        "longcat_flash", "LongCat Flash, Lite, Ngram, Sparse",
        "longcat_flash longcat_flash_ngram longcat_next longcat",
        "LongcatFlash* LongcatCausalLM LongcatNext* LongCat*", "longcat-flash", AttentionKind::mla,
        ScaleRule::deepseek, k_interleaved, true, k_longcat,
        "q is multiplied by sqrt(hidden_size / q_lora_rank) and the latent by sqrt(hidden_size / "
        "kv_lora_rank)",
        k_law,
        "huggingface/transformers models/longcat_flash@decba1d2; vllm longcat_flash.py@055e47c2",
        true},
    Family{
        "minicpm3", "MiniCPM3", "minicpm3", "MiniCPM3*", "minicpm3", AttentionKind::mla,
        ScaleRule::never, k_half_split, false, k_minicpm3, "", k_plain,
        "vllm-project/vllm vllm/model_executor/models/minicpm3.py@009ccee0; openbmb remote code"},
    Family{"mistral4", "Mistral Small 4", "mistral4", "Mistral4*", "mistral4", AttentionKind::mla,
           ScaleRule::mistral, std::nullopt, false, k_mistral4,
           "q is multiplied by 1 + beta * ln(1 + floor(position / original)) (llama_4_scaling)",
           "qk_head_dim^-1/2 times g(factor, mscale_all_dim)^2 or 1: disputed, see apply_scale",
           "huggingface/transformers models/mistral4@decba1d2; sgl-project/sglang#26203; "
           "vllm-project/vllm#57563"},
    Family{"mistral_large_3", "Mistral Large 3", "mistral_large3 mistral_large_3",
           "MistralLarge3* EagleMistralLarge3*", "", AttentionKind::mla, ScaleRule::mistral,
           k_interleaved, false, k_nothing,
           "q is multiplied by 1 + beta * ln(1 + floor(position / original)) (llama_4_scaling)",
           "qk_head_dim^-1/2 times g(factor, 1)^2 or 1: disputed, see apply_scale",
           "vllm-project/vllm vllm/transformers_utils/configs/mistral.py@01da88c5, #57563"},
    Family{"youtu", "Youtu-LLM", "youtu youtu_llm", "Youtu*", "", AttentionKind::mla,
           ScaleRule::deepseek, std::nullopt, false, k_youtu, "", k_law,
           "huggingface/transformers models/youtu@decba1d2"},
    Family{"axk1", "A.X K1", "axk1", "AXK1*", "", AttentionKind::mla, ScaleRule::deepseek,
           std::nullopt, false, k_axk1, "", k_law,
           "huggingface/transformers models/axk1@c27860a266; vllm AXK1.py@01063cd0"},
    Family{"axk2", "A.X K2", "axk2", "AXK2*", "axk2", AttentionKind::mla, ScaleRule::deepseek,
           k_interleaved, false, k_axk2,
           "a sparse indexer chooses the keys; output * sigmoid(gate) after attention", k_law,
           "huggingface/transformers models/axk2@decba1d2"},
    Family{"sarvam_mla", "Sarvam", "sarvam_mla", "SarvamMLA*", "", AttentionKind::mla,
           ScaleRule::deepseek_yarn, k_interleaved, false, k_nothing, "",
           "qk_head_dim^-1/2 * g(factor, mscale_all_dim)^2 only for the literal rope type "
           "\"deepseek_yarn\"",
           "vllm-project/vllm vllm/model_executor/models/sarvam.py@055e47c2, #56446"},
    Family{"bailing_hybrid", "Ling and Ring 2.5, 2.6, 3.0",
           "bailing_hybrid bailing_hybrid_mtp bailing_hybrid_v3_mtp",
           "BailingMoeV2_5* BailingMoeV3* BailingMoeV2_6*", "bailingmoe3", AttentionKind::mla,
           ScaleRule::never, k_interleaved, false, k_bailing,
           "linear attention on the layers that layer_group_size leaves out", k_plain,
           "vllm-project/vllm vllm/model_executor/models/bailing_moe_linear.py@055e47c2"},
    Family{
        "openpangu_v2", "openPangu 2.0 Flash, Pro", "openpangu_v2", "OpenPanguV2*", "",
        AttentionKind::mla, ScaleRule::deepseek, k_half_split, false, k_nothing,
        "learned sink keys before the first key; a sparse indexer or a sliding window chooses the "
        "keys, by layer; convolutions along the sequence on q, the latent and the output",
        k_law,
        "huggingface/transformers models/openpangu_v2/modular_openpangu_v2.py@651f2cc1 (a pull "
        "request, not in 5.17.0)"},
    Family{"pangu_ultra_moe", "openPangu Ultra MoE", "pangu_ultra_moe pangu_ultra_moe_mtp",
           "PanguUltraMoE* OpenPangu*", "", AttentionKind::mla, ScaleRule::never, std::nullopt,
           false, k_nothing, "learned sink rows in the cache", k_plain,
           "vllm-project/vllm vllm/model_executor/models/openpangu.py@0084eaff"},
    Family{"hy_v4", "Hunyuan V4", "hy_v4 hy_v4_internal", "HYV4*", "hy-v4", AttentionKind::mla,
           ScaleRule::never, k_interleaved, false, k_hy_v4,
           "learned sink per head, output gate, a sparse indexer chooses the keys", k_plain,
           "vLLM HYV4ForCausalLM; transformers 5.17.0 hy_v4 (executed)"},
    Family{"dots3_note", "dots3", "dots3_note dot3_note", "Dots3* Dot3*", "dots3note",
           AttentionKind::mla, ScaleRule::deepseek, k_interleaved, false, k_nothing,
           "sliding layers have a geometry of their own (swa_qk_nope_head_dim + "
           "swa_qk_rope_head_dim) and plain rope; a "
           "norm on k_pe; output gate",
           k_law, "vllm-project/vllm vllm/models/dots3_note"},
    Family{"plm", "PLM", "plm", "PLM*", "plm", AttentionKind::mla, ScaleRule::never, k_half_split,
           false, k_nothing, "", k_plain, "ggml-org/llama.cpp src/models/plm.cpp@663054a82 L49"},
    Family{"motif", "Motif", "motif", "Motif*", "", AttentionKind::mla, ScaleRule::deepseek,
           std::nullopt, false, k_nothing, "", k_law,
           "inferred: MLA keys judged by the DeepSeek rule; no engine source read"},
};

constexpr Family k_unknown{"unknown",
                           "a model that has the MLA keys under a name not known here",
                           "",
                           "",
                           "",
                           AttentionKind::mla,
                           ScaleRule::deepseek,
                           std::nullopt,
                           false,
                           k_nothing,
                           "",
                           k_law,
                           "inferred: MLA keys judged by the DeepSeek rule"};

bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.ends_with('*')) {
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
  }
  return name == pattern;
}

/// Whether one of the space-separated patterns matches.
bool listed(std::string_view patterns, std::string_view name) {
  while (!patterns.empty()) {
    const std::size_t space = patterns.find(' ');
    if (matches(patterns.substr(0, space), name)) {
      return true;
    }
    patterns.remove_prefix(space == std::string_view::npos ? patterns.size() : space + 1);
  }
  return false;
}

const Family* find(std::string_view Family::*names, std::string_view name) {
  if (name.empty()) {
    return nullptr;
  }
  for (const Family& family : k_families) {
    if (listed(family.*names, name)) {
      return &family;
    }
  }
  return nullptr;
}

} // namespace

std::string_view to_string(AttentionKind kind) {
  switch (kind) {
  case AttentionKind::mla:
    return "mla";
  case AttentionKind::mla_nope:
    return "mla_nope";
  case AttentionKind::shared_kv:
    return "shared_kv";
  case AttentionKind::none:
    return "none";
  }
  return "none";
}

std::span<const Family> families() {
  return k_families;
}

const Family* find_family_by_model_type(std::string_view model_type) {
  return find(&Family::model_types, model_type);
}

const Family* find_family_by_architecture(std::string_view architecture) {
  return find(&Family::architectures, architecture);
}

const Family* find_family_by_gguf_architecture(std::string_view architecture) {
  return find(&Family::gguf_architectures, architecture);
}

const Family& unknown_family() {
  return k_unknown;
}

} // namespace mla_scale::model
