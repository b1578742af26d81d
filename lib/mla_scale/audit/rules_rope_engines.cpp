#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace mla_scale::audit {
namespace {

using model::AttentionKind;
using model::Rope;
using model::ScaleRule;

void deepseek_yarn_name(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (rope.type.was_read() && *rope.type == "deepseek_yarn"
      && subject.config.family->rule != ScaleRule::deepseek_yarn) {
    hits.at(rope.type.origin,
            "rope type \"deepseek_yarn\" is a name inside vLLM and SGLang: transformers raises "
            "KeyError, Megatron-Bridge and llama.cpp's converter drop the scaling");
  }
}

void yarn_name_for_sarvam(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.config.family->rule == ScaleRule::deepseek_yarn && rope.type.was_read()
      && *rope.type == "yarn") {
    hits.at(rope.type.origin, "vLLM's sarvam applies mscale_all_dim for the literal type "
                              "\"deepseek_yarn\" only; with \"yarn\" the scale stays plain");
  }
}

void coerced_into_yarn(const Subject& subject, Hits& hits) {
  constexpr std::string_view k_coerced[] = {"linear", "dynamic", "llama3", "longrope", "ntk"};
  const Rope& rope = subject.config.rope;
  const std::string type = rope.type.value_or("default");
  if (subject.is_huggingface() && subject.takes_mscale()
      && std::find(std::begin(k_coerced), std::end(k_coerced), type) != std::end(k_coerced)
      && rope.mscale_all_dim.value_or(0) == 0) {
    hits.at(rope.type.origin,
            fmt::format("rope type \"{}\" on a DeepSeek class: vLLM and SGLang turn any type but "
                        "\"default\" into deepseek_yarn, others rotate as it says{}",
                        escape_control(type),
                        subject.misses_original_for_vllm()
                            ? "; without original_max_position_embeddings vLLM raises KeyError"
                            : ""));
  }
}

void su_name(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.is_huggingface() && rope.type.was_read() && *rope.type == "su") {
    hits.at(rope.type.origin, "rope type \"su\" is the old name of \"longrope\"; transformers 5 "
                              "does not know it (KeyError), vLLM translates it");
  }
}

void nope_with_scaling(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.config.attention == AttentionKind::mla_nope && rope.has_dictionary()
      && rope.type.value_or("default") != "default") {
    hits.at_rope(fmt::format("rope type \"{}\" in a model that never rotates (NoPE); an engine "
                             "that reads it applies mscale to a scale that takes none",
                             escape_control(*rope.type)));
  }
}

void partial_rotary(const Subject& subject, Hits& hits) {
  if (!subject.is_huggingface() || subject.config.attention != AttentionKind::mla) {
    return;
  }
  for (const std::optional<json::Value>& value :
       {subject.key("partial_rotary_factor"), subject.rope_key("partial_rotary_factor")}) {
    if (value && value->is_number() && value->as_number().value_or(1) != 1) {
      hits.at(*value, fmt::format("partial_rotary_factor is {}, but the rotated slice of MLA is "
                                  "qk_rope_head_dim wide as a whole; some engines multiply, others "
                                  "drop the key",
                                  value->excerpt()));
    }
  }
}

void half_split_pairs(const Subject& subject, Hits& hits) {
  const std::optional<json::Value> value = subject.key("rope_interleave");
  if (subject.is_huggingface() && subject.config.rope.rotated && value
      && !value->as_boolean().value_or(true)) {
    hits.at(*value,
            subject.config.family->interleaved.value_or(false)
                ? fmt::format("rope_interleave is false, but {} always rotates neighbours (2i, "
                              "2i + 1)",
                              subject.config.family->id)
                : "rope_interleave is false: most engines rotate neighbours (2i, 2i + 1) whatever "
                  "the key says");
  }
}

void indexer_interleave(const Subject& subject, Hits& hits) {
  if (const std::optional<json::Value> value = subject.key("indexer_rope_interleave")) {
    hits.at(*value, "transformers does not read indexer_rope_interleave; vLLM does. A wrong layout "
                    "chooses other keys without any error");
  }
}

void truncate_off(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (rope.rotated && rope.is_yarn() && rope.truncate && !*rope.truncate) {
    hits.at(rope.truncate.origin, "truncate false keeps the ends of the ramp unrounded in "
                                  "transformers; vLLM's deepseek_yarn and most ports always round");
  }
}

void v4_compress_without_factor(const Subject& subject, Hits& hits) {
  if (subject.config.attention != AttentionKind::shared_kv || !subject.scope) {
    return;
  }
  const std::optional<json::Value> parameters = subject.key("rope_parameters");
  const std::optional<json::Value> compress =
      parameters ? parameters->find("compress") : std::nullopt;
  const std::optional<json::Value> type = compress ? compress->find("rope_type") : std::nullopt;
  if (type && type->as_string().value_or("") == "yarn" && !compress->find("attention_factor")) {
    hits.at(*compress, "nested YaRN without attention_factor: transformers multiplies cos and sin "
                       "of the compressed layers by 0.1 ln(factor) + 1, which DeepSeek's code does "
                       "not");
  }
}

void shared_kv_with_mscale(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.config.attention != AttentionKind::shared_kv) {
    return;
  }
  for (const model::Sourced<double>* key : {&rope.mscale, &rope.mscale_all_dim}) {
    if (*key && **key != 0) {
      hits.at(key->origin, "a mscale key in a model with one shared K = V head: its scale is "
                           "head_dim^-1/2 and never takes mscale");
    }
  }
}

constexpr std::array k_rope_engines_rules = {
    Rule{"MLA240", "deepseek-yarn-name", Severity::warning, "rope type \"deepseek_yarn\"",
         "Engines with an exact gate on \"yarn\" skip scaling and mscale: the softmax scale is too "
         "small by g^2 there. Engines without the name fail.",
         "\"rope_type\": \"deepseek_yarn\" in LongCat-Flash-Lite-Sparse",
         "write \"yarn\" in files that are shared",
         "transformers ROPE_INIT_FUNCTIONS@decba1d2; Megatron-Bridge model_bridge.py@067f987d "
         "L503; llama.cpp conversion/base.py@663054a82",
         deepseek_yarn_name},
    Rule{"MLA241", "sarvam-needs-deepseek-yarn", Severity::warning,
         "sarvam with the rope type \"yarn\"", "This one family is gated on the literal name.",
         "\"model_type\": \"sarvam_mla\", "
         "\"rope_type\": \"yarn\"",
         "write \"deepseek_yarn\"", "vllm sarvam.py@055e47c2; vllm#56446", yarn_name_for_sarvam},
    Rule{"MLA242", "rope-type-coerced", Severity::warning,
         "a rope type that some engines turn into YaRN",
         "vLLM's and SGLang's DeepSeek classes rewrite every scaled type into deepseek_yarn, which "
         "also needs original_max_position_embeddings, and ramp the frequencies.",
         "\"rope_type\": \"linear\", \"factor\": 4 under deepseek_v3",
         "use YaRN, or an engine that is known to honour the type",
         "vllm deepseek_v2.py@002d6073; sglang model_config.py@001adf56", coerced_into_yarn},
    Rule{"MLA243", "rope-type-su", Severity::warning, "the old rope type \"su\"",
         "Phi-3's first name for longrope.", "\"type\": \"su\"", "write \"longrope\"",
         "vllm config.py@0036026e patch_legacy_rope_type; transformers@decba1d2", su_name},
    Rule{"MLA244", "nope-with-scaling", Severity::warning, "rope scaling in a NoPE model",
         "kimi_linear, kimi_k3 and glm5_next do not rotate; their scale is qk_head_dim^-1/2. "
         "Primus checks this at start-up since a factor left in the file changed it.",
         "\"model_type\": \"kimi_linear\", \"rope_scaling\": {\"type\": \"yarn\", ...}",
         "set rope_scaling to null",
         "AMD-AGI/Primus kimi_k3_mla_attention.py@fd1eeabb L282; vllm kimi_linear.py@01d99586",
         nope_with_scaling},
    Rule{"MLA245", "partial-rotary", Severity::note, "partial_rotary_factor on MLA",
         "It may be applied to head_dim, to qk_rope_head_dim, or not at all. transformers' Llama "
         "default ignores it, GLM's honours it, vLLM's Bailing drops it.",
         "\"partial_rotary_factor\": 0.5 in Ling-2.5 and Mistral Small 4",
         "check the rotated width in the engine",
         "vllm bailing_moe_linear.py@055e47c2; "
         "transformers mistral4@decba1d2",
         partial_rotary},
    Rule{"MLA246", "rope-interleave-false", Severity::warning, "rope_interleave is false",
         "Swapping the pairing leaves position 0 right and turns every other rotated logit into "
         "noise.",
         "\"rope_interleave\": false in a deepseek_v3 config",
         "compare against the engine's is_neox_style",
         "vllm deepseek_v2.py@002d6073 (GPT-J style always); sglang (rope_interleave, default "
         "True); Bailing's remote code divides by zero on false",
         half_split_pairs},
    Rule{"MLA247", "indexer-rope-interleave", Severity::note,
         "indexer_rope_interleave, which not all engines read",
         "The sparse indexer of V3.2 and GLM-5 has a layout of its own, wrong in several engines "
         "at some time.",
         "\"indexer_rope_interleave\": true in GLM-5", "check the layout of the indexer",
         "transformers#46842; sglang#13495; mlx-lm#1431; DeepSeek-V3.2-Exp README 2025-11-17",
         indexer_interleave},
    Rule{"MLA248", "yarn-truncate-off", Severity::warning, "truncate is false",
         "The frequencies between the two ends of the ramp differ slightly, everywhere.",
         "\"truncate\": false", "expect another ramp outside transformers",
         "transformers modeling_rope_utils.py@decba1d2 L474 (read at the top level only); vllm "
         "common.py@002d181a",
         truncate_off},
    Rule{"MLA249", "v4-compress-factor", Severity::warning,
         "nested YaRN of DeepSeek V4 without attention_factor",
         "transformers adds attention_factor 1.0 to flat legacy configs only. A nested one without "
         "it gets 1.277 for factor 16.",
         "\"rope_parameters\": {\"compress\": {\"rope_type\": \"yarn\", \"factor\": 16}}",
         "write \"attention_factor\": 1.0",
         "transformers deepseek_v4 0d48241419, b6fb4ec0f2; #45892", v4_compress_without_factor},
    Rule{"MLA250", "v4-with-mscale", Severity::warning, "mscale keys in a DeepSeek V4 style model",
         "vLLM forces both to 0 there; an engine that reuses its V3 code does not.",
         "\"compress_ratios\": [...], \"mscale_all_dim\": 1.0", "remove the mscale keys",
         "vllm deepseek_v4/common/rope.py@06d0369d; transformers modular_deepseek_v4.py@decba1d2 "
         "L677",
         shared_kv_with_mscale},
};

} // namespace

std::span<const Rule> rope_engine_rules() {
  return k_rope_engines_rules;
}

} // namespace mla_scale::audit
