#include <mla_scale/engines/rule_tables.hpp>

#include <array>

namespace mla_scale::engines {
namespace {

constexpr std::string_view k_native_small4 =
    "mistral4 is not among its models: it loads Mistral's params.json, published with apply_scale "
    "false";

/// vllm-project/vllm vllm/transformers_utils/model_arch_config_convertor.py@00bb6f59 and the model
/// files named in the words.
constexpr std::array k_vllm_families = {
    FamilyNote{"kimi_linear", Treatment::plain, "kimi_linear.py@01d99586: NoPE, no mscale"},
    FamilyNote{"kimi_k3", Treatment::plain, "kimi_k3/nvidia/mla.py@01b867e8: NoPE, no mscale"},
    FamilyNote{"glm5_next", Treatment::plain, "no rope, no mscale"},
    FamilyNote{"bailing_hybrid", Treatment::plain,
               "bailing_moe_linear.py@055e47c2: no mscale, even if yarn"},
    FamilyNote{"pangu_ultra_moe", Treatment::plain,
               "openpangu.py@0084eaff: the config's rope scaling is ignored"},
    FamilyNote{"openpangu_v2", Treatment::unsupported, "not registered: #47271 is open",
               Certainty::inferred},
    FamilyNote{"hy_v4", Treatment::ordinary_heads, "its adapter applies no mscale"},
    FamilyNote{"minicpm3", Treatment::ordinary_heads,
               "minicpm3.py@009ccee0: ordinary multi-head attention, no mscale"},
    FamilyNote{"deepseek_v4 deepseek_v41", Treatment::plain,
               "deepseek_v4/attention.py@0484480b: head_dim^-1/2, never mscale"},
    FamilyNote{"sarvam_mla", Treatment::deepseek_yarn, "sarvam.py@055e47c2"},
    FamilyNote{"mistral4", Treatment::plain, k_native_small4, Certainty::inferred},
    FamilyNote{
        "deepseek_v2 deepseek_v3 deepseek_v32 deepseek_mtp glm_moe_dsa glm4_moe_lite longcat_flash "
        "axk1 k3_dspark dots3_note kimi_k25",
        Treatment::rule,
        {}},
};

/// In the week of #56446 Small 4 went through the same adapter as Large 3.
constexpr auto with_mistral4_by_rule() {
  auto families = k_vllm_families;
  for (FamilyNote& note : families) {
    if (note.names == "mistral4") {
      note = FamilyNote{"mistral4", Treatment::rule, {}, Certainty::inferred};
    }
  }
  return families;
}

constexpr auto k_vllm_families_56446 = with_mistral4_by_rule();

/// get_rope of the two deepseek types: rotary_embedding/__init__.py@07b12f1b.
constexpr std::string_view k_indexed = "factor original_max_position_embeddings";

constexpr std::string_view k_nested = "KeyError: 'rope_type'";

constexpr EngineRule k_vllm_rules[] = {
    {.id = "vllm",
     .name = "vLLM",
     .versions = "main since #57563 (2026-09-18)",
     .type = TypeReading::must_not_differ,
     .off_switches = k_attention_factor_1,
     .required = k_indexed,
     .fills_original = true,
     .nested_error = k_nested,
     .coerces_types = true,
     .attn_factor = true,
     .mistral = MistralReading::honoured,
     .mistral_words = "apply_scale false becomes attention_factor 1.0",
     .families = k_vllm_families,
     .note =
         "attention_factor exactly 1.0 leaves mscale out; apply_yarn_scaling in a config is not "
         "looked at any more",
     .source = "https://github.com/vllm-project/vllm/pull/57563; "
               "vllm/model_executor/models/AXK1.py@01063cd0"},
    {.id = "vllm@56446",
     .name = "vLLM",
     .versions = "main from #56446 (2026-09-11) to #57563 (2026-09-18)",
     .type = TypeReading::must_not_differ,
     .off_switches = k_apply_yarn_scaling,
     .required = k_indexed,
     .fills_original = true,
     .nested_error = k_nested,
     .coerces_types = true,
     .attn_factor = true,
     .mistral = MistralReading::ignored,
     .mistral_words = "the adapter says attention_factor 1.0, which the model file did not look at",
     .families = k_vllm_families_56446,
     .note = "Mistral Large 3 lost accuracy in this week",
     .source = "https://github.com/vllm-project/vllm/pull/56446, /pull/57563",
     .certainty = Certainty::reported},
    {.id = "vllm@41744",
     .name = "vLLM",
     .versions = "#41744 (2026-05-05) to 2026-09-11; also before #32623 (2026-05-01)",
     .type = TypeReading::must_not_differ,
     .off_switches = k_apply_yarn_scaling,
     .required = k_indexed,
     .fills_original = true,
     .nested_error = k_nested,
     .coerces_types = true,
     .attn_factor = true,
     .mistral = MistralReading::honoured,
     .families = k_vllm_families,
     .note = "prefill and decode take the one scale that the model file hands in",
     .source = "vllm/model_executor/models/deepseek_v2.py@002d6073; "
               "https://github.com/vllm-project/vllm/pull/41744"},
    {.id = "vllm@41569",
     .name = "vLLM",
     .versions = "#41569 (2026-05-04) to #41744 (2026-05-05), one day",
     .type = TypeReading::must_not_differ,
     .off_switches = k_apply_yarn_scaling,
     .required = k_indexed,
     .fills_original = true,
     .nested_error = k_nested,
     .coerces_types = true,
     .attn_factor = true,
     .prefill_ignores_family = true,
     .mistral = MistralReading::honoured,
     .families = k_vllm_families,
     .note = "get_mla_prefill_scale derives the prefill scale from the config a second time",
     .source = "https://github.com/vllm-project/vllm/pull/41569",
     .certainty = Certainty::reported},
    {.id = "vllm@32623",
     .name = "vLLM",
     .versions = "main from #32623 (2026-05-01) to #41569 (2026-05-04)",
     .type = TypeReading::must_not_differ,
     .off_switches = k_apply_yarn_scaling,
     .prefill = {.width = Width::latent_dim, .magnitude = false},
     .required = k_indexed,
     .fills_original = true,
     .nested_error = k_nested,
     .coerces_types = true,
     .attn_factor = true,
     .mistral = MistralReading::honoured,
     .families = k_vllm_families,
     .note = "the prefill backends were built with get_head_size()^-1/2; FlashInfer's was not "
             "affected",
     .source = "https://github.com/vllm-project/vllm/pull/32623, /pull/41569",
     .certainty = Certainty::reported},
    {.id = "vllm-ascend",
     .name = "vLLM Ascend",
     .versions = "@182b75ea",
     .type = TypeReading::must_not_differ,
     .off_switches = k_apply_yarn_scaling,
     .required = k_indexed,
     .fills_original = true,
     .nested_error = k_nested,
     .coerces_types = true,
     .attn_factor = true,
     .mistral = MistralReading::honoured,
     .families = k_vllm_families,
     .note = "vLLM reads the config before it",
     .source = "vllm-project/vllm-ascend patch/worker/patch_deepseek_v2.py@182b75ea L140"},
    {.id = "vllm-ascend-xlite",
     .name = "vLLM Ascend, xlite graph",
     .versions = "@182b75ea, #13378",
     .key = Key::mscale,
     .gate = Gate::longer_than_original,
     .missing_factor = MissingFactor::one,
     .cos_sin = CosSin::unknown,
     .note = "no mscale when the engine is started with a length up to the original",
     .source = "vllm-project/vllm-ascend xlite/xlite.py@182b75ea L495"},
    {.id = "vllm.rs",
     .name = "vllm.rs",
     .versions = "@1b00e27",
     .gate = Gate::yarn,
     .type = TypeReading::type_or_none,
     .missing_factor = MissingFactor::one,
     .cos_sin = CosSin::unknown,
     .note = "rope_type is not read",
     .source = "guoqingbao/vllm.rs src/models/layers/mla_attention.rs@1b00e27 L200"},
};

} // namespace

std::span<const EngineRule> vllm_rules() {
  return k_vllm_rules;
}

} // namespace mla_scale::engines
