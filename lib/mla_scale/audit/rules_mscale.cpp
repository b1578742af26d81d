#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace mla_scale::audit {
namespace {

using model::Format;
using model::Rope;
using model::ScaleRule;

/// A HuggingFace config with YaRN whose family multiplies by g^2.
bool has_yarn_law(const Subject& subject) {
  return subject.is_huggingface() && subject.takes_mscale() && subject.config.rope.is_yarn()
         && subject.config.family->rule != ScaleRule::mistral
         && subject.config.rope.factor.value_or(0) > 1;
}

bool switched_off(const Rope& rope) {
  return rope.apply_scaling && !*rope.apply_scaling;
}

void mscale_alone(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && rope.mscale && *rope.mscale != 0 && !rope.mscale_all_dim) {
    hits.at(rope.mscale.origin,
            fmt::format("mscale {} without mscale_all_dim: transformers ignores it, DeepSeek's "
                        "inference code and its copies square it into the softmax scale, vLLM and "
                        "SGLang put it into cos and sin",
                        format_number(*rope.mscale)));
  }
}

void mscale_all_dim_alone(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && rope.mscale_all_dim && *rope.mscale_all_dim != 0 && !rope.mscale
      && !rope.attention_factor) {
    hits.at(rope.mscale_all_dim.origin,
            fmt::format("mscale_all_dim {} without mscale: transformers multiplies cos and sin by "
                        "0.1 ln(factor) + 1 on top, engines that read mscale scale by something "
                        "else",
                        format_number(*rope.mscale_all_dim)));
  }
}

void mscale_keys_differ(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && rope.mscale && rope.mscale_all_dim && *rope.mscale != 0
      && *rope.mscale_all_dim != 0 && *rope.mscale != *rope.mscale_all_dim) {
    const double right = scale::yarn_magnitude(*rope.factor, *rope.mscale_all_dim);
    const double wrong = scale::yarn_magnitude(*rope.factor, *rope.mscale);
    hits.at(rope.mscale.origin,
            fmt::format("mscale {} and mscale_all_dim {} differ: g^2 is {:.4g} by mscale_all_dim "
                        "and {:.4g} in the engines that read mscale (DeepSeek inference, "
                        "torchtitan, MaxText, NeMo Automodel, Megatron-LM before 0.14)",
                        format_number(*rope.mscale), format_number(*rope.mscale_all_dim),
                        right * right, wrong * wrong));
  }
}

void mscale_keys_equal(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && rope.mscale && rope.mscale_all_dim && *rope.mscale != 0
      && *rope.mscale == *rope.mscale_all_dim && !rope.attention_factor && !switched_off(rope)) {
    hits.at(rope.mscale_all_dim.origin,
            fmt::format("mscale and mscale_all_dim are both {}: this config cannot show an engine "
                        "that reads the wrong one of the two, nor a lost cos/sin factor",
                        format_number(*rope.mscale)));
  }
}

void mscale_keys_zero(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && rope.mscale && rope.mscale_all_dim && *rope.mscale_all_dim == 0
      && *rope.mscale == 0 && !rope.attention_factor) {
    hits.at(rope.mscale_all_dim.origin,
            "mscale and mscale_all_dim are 0 to switch the magnitude off; transformers then "
            "multiplies cos and sin by 0.1 ln(factor) + 1 all the same");
  }
}

void mscale_keys_missing(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && !rope.mscale && !rope.mscale_all_dim && !rope.attention_factor
      && !switched_off(rope)) {
    hits.at_missing_rope_key(
        "mscale_all_dim",
        "YaRN without mscale keys: the softmax scale stays plain in vLLM, SGLang and transformers, "
        "while DeepSeek's inference code, MaxText and torchtitan default mscale to 1 and llama.cpp "
        "multiplies by (1 + 0.1 ln factor)^2");
  }
}

void attention_factor_with_mscale(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && rope.attention_factor && *rope.attention_factor != 1
      && (rope.mscale || rope.mscale_all_dim)) {
    hits.at(rope.attention_factor.origin,
            fmt::format("attention_factor {} beside mscale keys: transformers lets it replace "
                        "their quotient in cos and sin, DeepSeek's remote code and vLLM's "
                        "deepseek_yarn ignore it",
                        format_number(*rope.attention_factor)));
  }
}

void attention_factor_one(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (has_yarn_law(subject) && rope.attention_factor && *rope.attention_factor == 1
      && rope.mscale_all_dim.value_or(0) != 0) {
    hits.at(rope.attention_factor.origin,
            "attention_factor 1.0 beside mscale_all_dim: vLLM since 2026-09 takes it for \"no "
            "mscale\" and leaves the softmax scale plain, all others apply g^2");
  }
}

void scaling_switched_off(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.is_huggingface() && subject.takes_mscale()
      && subject.config.family->rule != ScaleRule::mistral && switched_off(rope)
      && rope.mscale_all_dim.value_or(0) != 0) {
    hits.at(rope.apply_scaling.origin,
            "apply_yarn_scaling false beside mscale_all_dim: SGLang, vllm-ascend and vLLM before "
            "2026-09 leave the scale plain, transformers and the latest vLLM apply g^2");
  }
}

void mscale_without_yarn(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const bool vllm_fails = subject.misses_original_for_vllm();
  if (subject.is_huggingface() && subject.takes_mscale() && !rope.is_yarn()
      && rope.type.value_or("default") != "default" && rope.mscale_all_dim.value_or(0) != 0) {
    hits.at(rope.mscale_all_dim.origin,
            fmt::format("mscale_all_dim under rope type \"{}\": transformers, {}SGLang and "
                        "Megatron-LM apply g^2 without asking for YaRN, TurboMind, TGI and "
                        "Megatron-Bridge do not{}",
                        escape_control(*rope.type), vllm_fails ? "" : "vLLM, ",
                        vllm_fails
                            ? "; without original_max_position_embeddings vLLM raises KeyError"
                            : ""));
  }
}

void mscale_in_plain_family(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.config.attention == model::AttentionKind::mla
      && subject.config.family->rule == ScaleRule::never && rope.mscale_all_dim.value_or(0) != 0
      && rope.type.value_or("default") != "default") {
    hits.at(rope.mscale_all_dim.origin,
            fmt::format("{} never applies mscale in vLLM, but the file sets mscale_all_dim {}; an "
                        "engine with one DeepSeek class for all applies it",
                        subject.config.family->id, format_number(*rope.mscale_all_dim)));
  }
}

void mscale_implausible(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  for (const model::Sourced<double>* key : {&rope.mscale, &rope.mscale_all_dim}) {
    if (*key && (**key < 0 || **key > 2)) {
      hits.at(key->origin,
              fmt::format("{} is outside 0 to 2, the range in which g stays a small correction; "
                          "published models have 0.707 or 1",
                          format_number(**key)));
    }
  }
}

void factor_implausible(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (rope.rotated && rope.factor && *rope.factor > 1024) {
    hits.at(rope.factor.origin, fmt::format("factor {} is larger than any published one (128)",
                                            format_number(*rope.factor)));
  }
}

constexpr std::array k_mscale_rules = {
    Rule{"MLA301", "mscale-without-all-dim", Severity::warning, "mscale without mscale_all_dim",
         "Only mscale_all_dim belongs to the softmax scale. Alone, mscale means three different "
         "things: nothing, the scale, or the cos/sin factor.",
         "\"mscale\": 0.707 without mscale_all_dim", "write both keys",
         "transformers modeling_rope_utils.py@decba1d2 L437; deepseek-ai/DeepSeek-V3 "
         "inference/model.py@9b4e9788; vllm deepseek_scaling_rope.py@00d678e1",
         mscale_alone, "MLA208"},
    Rule{"MLA302", "all-dim-without-mscale", Severity::warning, "mscale_all_dim without mscale",
         "transformers needs both for the quotient and falls back to 0.1 ln(factor) + 1, so the "
         "rotated part of the logit is corrected twice.",
         "\"mscale_all_dim\": 1.0 without mscale", "write both keys",
         "transformers modeling_rope_utils.py@decba1d2 L437, L439", mscale_all_dim_alone, "MLA208"},
    Rule{"MLA303", "mscale-keys-differ", Severity::warning, "mscale and mscale_all_dim differ",
         "The law squares g(factor, mscale_all_dim). A dozen engines read mscale instead, which "
         "nobody notices while the two are equal.",
         "\"mscale\": 1.0, \"mscale_all_dim\": 0.707: 0.1147 or 0.1352",
         "check which key your engine reads (mla-scale engines)",
         "NVIDIA/Megatron-LM#1429; deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788; torchtitan "
         "model.py@b5bcd76c; MaxText attention_mla.py@e591f30c",
         mscale_keys_differ, "MLA312"},
    Rule{"MLA304", "mscale-keys-equal", Severity::note,
         "equal mscale keys hide engines that read the wrong one",
         "A test that passes on this config says nothing about a model whose two keys differ. Test "
         "with mscale 1.0 and mscale_all_dim 0.707 as well.",
         "\"mscale\": 1.0, \"mscale_all_dim\": 1.0 (V3, R1, Kimi K2)",
         "add a config whose two keys differ to your tests",
         "NVIDIA/Megatron-LM#1429: unnoticed for ten months, since V2 and V3 ship equal keys",
         mscale_keys_equal, "MLA326"},
    Rule{"MLA305", "mscale-keys-zero", Severity::warning, "both mscale keys are 0",
         "0 is read as \"absent\" in transformers.", "\"mscale\": 0, \"mscale_all_dim\": 0",
         "write attention_factor 1.0 to switch cos and sin off too",
         "transformers modeling_rope_utils.py@decba1d2 L437 (truthiness)", mscale_keys_zero},
    Rule{"MLA306", "mscale-keys-missing", Severity::warning, "YaRN without mscale keys",
         "Defaults for missing keys differ: 0 (vLLM, SGLang, transformers), 1.0 (DeepSeek "
         "inference, MaxText, torchtitan, chitu), and in GGUF a missing yarn_log_multiplier "
         "multiplies by (1 + 0.1 ln factor)^2.",
         "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40, ...}",
         "write mscale and mscale_all_dim, 0 or not",
         "llama.cpp#18006; MaxText configs/base.yml@e591f30c; chitu model_deepseek_v3.py@6261b7a",
         mscale_keys_missing},
    Rule{"MLA307", "attention-factor-with-mscale", Severity::warning,
         "attention_factor beside mscale keys",
         "attention_factor is about cos and sin only and does not touch the softmax scale, but it "
         "replaces g(mscale) / g(mscale_all_dim) where it is known.",
         "\"attention_factor\": 1.2, \"mscale\": 1.0, \"mscale_all_dim\": 1.0",
         "keep one of the two ways", "transformers modeling_rope_utils.py@decba1d2; vllm#46280",
         attention_factor_with_mscale},
    Rule{"MLA308", "attention-factor-one", Severity::warning,
         "attention_factor 1.0 switches mscale off in vLLM",
         "The adapter for Mistral's apply_scale: false writes attention_factor 1.0, and vLLM's "
         "DeepSeek class reads it back as \"no mscale\" for every model.",
         "\"attention_factor\": 1.0, \"mscale_all_dim\": 1.0",
         "remove attention_factor, or mscale_all_dim, whichever is not meant", "vllm#56446, #57563",
         attention_factor_one},
    Rule{"MLA309", "apply-scaling-off", Severity::warning,
         "apply_yarn_scaling false beside mscale_all_dim",
         "The switch is an extension that only some engines know.",
         "\"apply_yarn_scaling\": false, \"mscale_all_dim\": 1.0",
         "remove mscale_all_dim if the scale is meant to be plain",
         "vllm#41569; sglang#26203; transformers (unknown key)", scaling_switched_off},
    Rule{"MLA310", "mscale-without-yarn", Severity::warning, "mscale_all_dim without YaRN",
         "Half of the engines gate on the type, half on the dictionary.",
         "\"rope_type\": \"linear\", \"factor\": 4, \"mscale_all_dim\": 1.0",
         "remove mscale_all_dim, or use YaRN",
         "transformers modular_deepseek_v2.py@decba1d2 L239; lmdeploy utils.py@1263d5cd; TGI "
         "flash_deepseek_v3_modeling.py@db931fcf",
         mscale_without_yarn, "MLA201 MLA207 MLA220 MLA221 MLA243"},
    Rule{"MLA311", "mscale-in-plain-family", Severity::warning,
         "mscale_all_dim in a family that never applies it",
         "The value is dead in the model's own code and alive in engines that reuse one class.",
         "\"model_type\": \"bailing_hybrid\" with mscale_all_dim", "remove mscale_all_dim",
         "vllm bailing_moe_linear.py@055e47c2; openpangu.py@0084eaff", mscale_in_plain_family},
    Rule{"MLA312", "mscale-implausible", Severity::warning, "a mscale outside 0 to 2",
         "A negative or large weight usually is a slip of the decimal point; g is squared.",
         "\"mscale_all_dim\": 7.07", "check the number", "published values are 0.707 and 1.0",
         mscale_implausible, "MLA262"},
    Rule{"MLA313", "factor-implausible", Severity::warning, "a factor above 1024",
         "Published factors are 10 to 128. A length written in its place still gives a "
         "plausible-looking scale, since g grows with its logarithm.",
         "\"factor\": 163840", "write the factor, not the length",
         "the configs of LongCat, DeepSeek, Kimi K2 and Mistral: 10, 16, 32, 36, 40, 64, 120, 128",
         factor_implausible},
};

} // namespace

std::span<const Rule> mscale_rules() {
  return k_mscale_rules;
}

} // namespace mla_scale::audit
