#include <mla_scale/engines/rule_tables.hpp>

namespace mla_scale::engines {
namespace {

constexpr std::string_view k_types_5 = "default linear dynamic yarn longrope llama3 proportional";
constexpr std::string_view k_types_4 = "default linear dynamic yarn longrope llama3";
constexpr std::string_view k_runs_remote =
    "not registered: only with the model's own code (trust_remote_code)";
constexpr std::string_view k_not_registered = "has no class for this model";
constexpr std::string_view k_large3_error =
    "ValueError: model type `mistral_large3` but Transformers does not recognize this architecture";
constexpr std::string_view k_ref_error =
    "ValueError: model type `deepseek_ref` but Transformers does not recognize this architecture";

/// What 5.17.0 said when it was executed on published configs, and git grep kv_lora_rank @decba1d2.
constexpr FamilyNote k_transformers_families[] = {
    {"kimi_k2 longcat_flash_ngram LongcatFlashNgramForCausalLM LongcatCausalLM longcat_next "
     "bailing_hybrid kimi_k3 "
     "kimi_vl",
     Treatment::remote_code, k_runs_remote},
    {"mistral_large3 mistral_large_3", Treatment::fails, k_large3_error},
    {"deepseek_ref", Treatment::fails, k_ref_error},
    {"kimi_linear glm5_next", Treatment::plain, "NoPE: no mscale"},
    {"hy_v4", Treatment::plain, "no mscale"},
    {"deepseek_v4 deepseek_v41", Treatment::plain, "head_dim^-1/2, never mscale"},
    {"minicpm3", Treatment::rule, "inherits DeepSeek-V2's attention"},
    {"openpangu_v2 pangu_ultra_moe sarvam_mla dots3_note plm motif deepseek_mtp k3_dspark",
     Treatment::unsupported, k_not_registered},
    {"deepseek_v2 deepseek_v3 deepseek_v32 glm_moe_dsa glm4_moe_lite longcat_flash mistral4 youtu "
     "axk1 axk2 kimi_k25",
     Treatment::rule,
     {}},
};

constexpr std::string_view k_before_47435 = "leaves mscale out (added by #47435 in 5.15)";

constexpr FamilyNote k_transformers_families_50[] = {
    {"deepseek_v2", Treatment::plain, k_before_47435},
    {"mistral4", Treatment::plain, k_before_47435},
    {"kimi_k2 longcat_flash_ngram LongcatFlashNgramForCausalLM LongcatCausalLM longcat_next "
     "bailing_hybrid kimi_k3 "
     "kimi_vl minicpm3",
     Treatment::remote_code, k_runs_remote},
    {"mistral_large3 mistral_large_3", Treatment::fails, k_large3_error},
    {"deepseek_ref", Treatment::fails, k_ref_error},
    {"deepseek_v4", Treatment::plain, "head_dim^-1/2, never mscale (since 5.8)"},
    {"openpangu_v2 pangu_ultra_moe sarvam_mla dots3_note plm motif deepseek_mtp k3_dspark axk1 "
     "axk2 "
     "kimi_linear glm5_next hy_v4 deepseek_v41",
     Treatment::unsupported, k_not_registered},
    {"deepseek_v3", Treatment::rule, {}},
};

constexpr FamilyNote k_transformers_families_454[] = {
    {"deepseek_v2", Treatment::plain, k_before_47435},
    {"mistral4", Treatment::plain, k_before_47435},
    {"kimi_k2 longcat_flash_ngram LongcatFlashNgramForCausalLM LongcatCausalLM longcat_next "
     "bailing_hybrid kimi_k3 "
     "kimi_vl minicpm3 kimi_linear "
     "deepseek_v32 sarvam_mla pangu_ultra_moe",
     Treatment::remote_code, k_runs_remote},
    {"openpangu_v2 deepseek_v4 deepseek_v41 mistral_large3 mistral_large_3 deepseek_ref dots3_note "
     "plm motif "
     "deepseek_mtp k3_dspark axk1 axk2 glm5_next hy_v4 glm_moe_dsa glm4_moe_lite youtu kimi_k25",
     Treatment::unsupported, k_not_registered},
    {"deepseek_v3", Treatment::rule, {}},
};

constexpr FamilyNote k_transformers_families_451[] = {
    {"kimi_k2 longcat_flash_ngram LongcatFlashNgramForCausalLM LongcatCausalLM longcat_next "
     "bailing_hybrid kimi_k3 "
     "kimi_vl minicpm3 kimi_linear "
     "deepseek_v32 deepseek_v2 sarvam_mla pangu_ultra_moe longcat_flash",
     Treatment::remote_code, k_runs_remote},
    {"openpangu_v2 deepseek_v4 deepseek_v41 mistral4 mistral_large3 mistral_large_3 deepseek_ref "
     "dots3_note plm "
     "motif deepseek_mtp k3_dspark axk1 axk2 glm5_next hy_v4 glm_moe_dsa glm4_moe_lite youtu "
     "kimi_k25",
     Treatment::unsupported, k_not_registered},
    {"deepseek_v3", Treatment::rule, {}},
};

constexpr EngineRule k_transformers_rules[] = {
    {.id = "transformers",
     .name = "HuggingFace transformers",
     .versions = "5.15 and later (#47435, 2026-07-20); executed: 5.17.0",
     .cos_sin = CosSin::transformers,
     .known_types = k_types_5,
     .nested_is_default = true,
     .validates_keys = true,
     .mistral = MistralReading::ignored,
     .mistral_words = "the converter always writes mscale_all_dim 1",
     .families = k_transformers_families,
     .needs_model_type = true,
     .note = "apply_yarn_scaling is not known; factor is read by subscript for every rope type but "
             "default; a lone mscale is ignored and cos/sin take g(factor, 1)",
     .source = "huggingface/transformers models/deepseek_v2/modular_deepseek_v2.py@decba1d2 L239, "
               "modeling_rope_utils.py@decba1d2 L345"},
    {.id = "transformers@5.0",
     .name = "HuggingFace transformers",
     .versions = "5.0 to 5.14",
     .cos_sin = CosSin::transformers,
     .known_types = k_types_5,
     .nested_is_default = true,
     .validates_keys = true,
     .families = k_transformers_families_50,
     .needs_model_type = true,
     .note = "deepseek_v2 and mistral4 go without mscale; the others as in 5.15",
     .source = "huggingface/transformers c980904204 to 4a1c4b1a69^"},
    {.id = "transformers@4.54",
     .name = "HuggingFace transformers",
     .versions = "4.54 to 5.14 for deepseek_v2, 5.3 to 5.14 for mistral4; config keys as in 4.56",
     .gate = Gate::dictionary,
     .type = TypeReading::type_first,
     .cos_sin = CosSin::transformers,
     .known_types = k_types_4,
     .rope_scaling_only = true,
     .families = k_transformers_families_454,
     .needs_model_type = true,
     .note = "deepseek_v2 and mistral4 go without mscale: a dump made with these versions is no "
             "reference for them",
     .source = "huggingface/transformers c980904204 (#36400), 3b5032739b, to 4a1c4b1a69^ (#47435)"},
    {.id = "transformers@4.51",
     .name = "HuggingFace transformers",
     .versions = "4.51 to 4.55, deepseek_v3",
     .gate = Gate::dictionary,
     .type = TypeReading::type_first,
     .cos_sin = CosSin::transformers,
     .known_types = k_types_4,
     .rope_scaling_only = true,
     .factor_from_lengths = true,
     .families = k_transformers_families_451,
     .needs_model_type = true,
     .note = "any rope_scaling counts, rope type default too; cos/sin and the frequencies take "
             "max_position_embeddings / original for the factor",
     .source = "huggingface/transformers eca74d1367 (#35926)"},
    {.id = "remote-code",
     .name = "DeepSeek's remote code",
     .versions = "modeling_deepseek.py of V2 and V3",
     .gate = Gate::dictionary,
     .type = TypeReading::type_only,
     .known_types = "linear dynamic yarn",
     .unknown_type_is_value_error = true,
     .counts_default_dictionary = true,
     .only_families = "deepseek_v2 deepseek_v3 kimi_k25 unknown",
     .note = "type is read, rope_type is not; attention_factor is not known",
     .source = "intel/auto-round modeling_deepseek.py@3fc2c52a (copy of V3's)"},
};

} // namespace

std::span<const EngineRule> transformers_rules() {
  return k_transformers_rules;
}

} // namespace mla_scale::engines
