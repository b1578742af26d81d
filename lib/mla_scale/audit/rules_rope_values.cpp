#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace mla_scale::audit {
namespace {

using model::AttentionKind;
using model::Format;
using model::Rope;

/// Types whose frequencies are divided by a factor.
bool needs_factor(std::string_view type) {
  constexpr std::string_view k_types[] = {"yarn",   "deepseek_yarn", "telechat3-yarn",
                                          "linear", "dynamic",       "llama3"};
  return std::find(std::begin(k_types), std::end(k_types), type) != std::end(k_types);
}

void factor_missing(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (!rope.rotated || subject.config.format == Format::gguf || !rope.has_dictionary()
      || rope.factor || !needs_factor(rope.type.value_or("default"))) {
    return;
  }
  const bool null = rope.factor.origin.kind == model::Origin::Kind::null;
  std::string message = fmt::format(
      "rope type \"{}\" needs a factor and {}: transformers, vLLM and SGLang disagree "
      "between KeyError, TypeError and 1",
      escape_control(rope.type.value_or("default")), null ? "it is null" : "there is none");
  if (null) {
    hits.at(rope.factor.origin, std::move(message));
  } else {
    hits.at_missing_rope_key("factor", std::move(message));
  }
}

void longrope_without_factor(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const std::string type = rope.type.value_or("default");
  if (subject.is_huggingface() && rope.rotated && (type == "longrope" || type == "su")
      && !rope.factor) {
    hits.at_missing_rope_key(
        "factor", "longrope without a factor: transformers 5.15 to 5.17 raises KeyError: 'factor' "
                  "when it builds the attention, since it asks for mscale under any scaled type");
  }
}

void factor_not_above_one(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (rope.rotated && rope.is_yarn() && rope.factor && *rope.factor <= 1
      && subject.config.format != Format::deepseek) {
    hits.at(rope.factor.origin,
            fmt::format("YaRN with factor {} leaves the magnitude at 1 whatever mscale says, but "
                        "still ramps the frequencies",
                        format_number(*rope.factor)));
  }
}

void factor_differs_from_lengths(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const model::Dims& dims = subject.config.dims;
  if (!rope.rotated || !rope.is_yarn() || !rope.factor || *rope.factor <= 1
      || !rope.original_max_position_embeddings || !dims.max_position_embeddings.was_read()
      || subject.config.format == Format::deepseek) {
    return;
  }
  const double implied =
      static_cast<double>(*dims.max_position_embeddings) / *rope.original_max_position_embeddings;
  if (std::abs(implied - *rope.factor) > 1e-6 * *rope.factor && implied > 1) {
    hits.at(rope.factor.origin,
            fmt::format("factor is {}, but max_position_embeddings / original is {}; transformers "
                        "4.51 to 4.55 take the quotient for frequencies and the factor for the "
                        "softmax scale",
                        format_number(*rope.factor), format_number(implied)));
  }
}

void original_missing(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (rope.rotated && rope.is_yarn() && rope.has_dictionary()
      && !rope.original_max_position_embeddings && subject.config.format != Format::gguf
      && !subject.key("original_max_position_embeddings")) {
    hits.at_missing_rope_key(
        "original_max_position_embeddings",
        fmt::format(
            "YaRN without original_max_position_embeddings: {}, DeepSeek's code takes 4096, "
            "TensorRT-LLM 1024, RTP-LLM raises KeyError; the frequencies differ, the "
            "softmax scale does not",
            subject.misses_original_for_vllm()
                ? "vLLM raises KeyError"
                : "transformers 5, and vLLM through it, takes max_position_embeddings"));
  }
}

void original_not_exceeded(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const model::Dims& dims = subject.config.dims;
  if (rope.rotated && rope.is_yarn() && rope.original_max_position_embeddings
      && dims.max_position_embeddings.was_read() && subject.config.format != Format::deepseek
      && static_cast<double>(*dims.max_position_embeddings)
             <= *rope.original_max_position_embeddings) {
    hits.at(rope.original_max_position_embeddings.origin,
            fmt::format("max_position_embeddings {} does not exceed the original {}: engines that "
                        "gate YaRN on the length (DeepSeek inference, MaxText, NeMo Automodel, "
                        "xlite) switch it and mscale off, the others do not",
                        *dims.max_position_embeddings,
                        format_number(*rope.original_max_position_embeddings)));
  }
}

void original_overridden(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const std::optional<json::Value> outer = subject.key("original_max_position_embeddings");
  if (outer && outer->is_number() && rope.has_dictionary()
      && rope.original_max_position_embeddings.was_read()
      && outer->as_number().value_or(0) != *rope.original_max_position_embeddings) {
    hits.at(*outer,
            fmt::format("original_max_position_embeddings is {} here and {} in {}; "
                        "transformers 5 takes this one, other engines the inner one",
                        outer->excerpt(), format_number(*rope.original_max_position_embeddings),
                        rope.container));
  }
}

void beta_unusual(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (!rope.rotated || !rope.is_yarn()) {
    return;
  }
  const double fast = rope.beta_fast.value_or(32);
  const double slow = rope.beta_slow.value_or(1);
  if ((fast != 32 || slow != 1) && fast > 0 && slow > 0 && fast >= slow) {
    hits.at(fast != 32 ? rope.beta_fast.origin : rope.beta_slow.origin,
            fmt::format("beta_fast {} and beta_slow {} are not 32 and 1; llama.cpp, TGI and "
                        "Megatron-LM use 32 and 1 whatever the file says, so their frequencies "
                        "differ (the softmax scale does not)",
                        format_number(fast), format_number(slow)));
  }
}

void beta_reversed(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (rope.rotated && rope.is_yarn() && rope.beta_fast && rope.beta_slow && *rope.beta_fast > 0
      && *rope.beta_fast < *rope.beta_slow) {
    hits.at(rope.beta_fast.origin,
            fmt::format("beta_fast {} is below beta_slow {}: the ramp runs backwards",
                        format_number(*rope.beta_fast), format_number(*rope.beta_slow)));
  }
}

void beta_zero(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  for (const model::Sourced<double>* beta : {&rope.beta_fast, &rope.beta_slow}) {
    if (rope.rotated && rope.is_yarn() && *beta && **beta <= 0) {
      hits.at(beta->origin,
              **beta == 0 ? std::string("a beta of 0: transformers reads it as the default, other "
                                        "engines take the logarithm of original / 0")
                          : fmt::format("a beta of {}: it counts turns over the original length, "
                                        "and the logarithm of a negative number gives frequencies "
                                        "that are not numbers",
                                        format_number(**beta)));
    }
  }
}

void theta_differs(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.is_huggingface() && rope.rotated && rope.theta_inside && rope.theta_outside.was_read()
      && *rope.theta_inside != *rope.theta_outside) {
    hits.at(rope.theta_outside.origin,
            fmt::format("rope_theta is {} here and {} in {}; transformers 5 takes the inner one, "
                        "older readers this one",
                        format_number(*rope.theta_outside), format_number(*rope.theta_inside),
                        rope.container));
  }
}

void theta_too_small(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (rope.rotated && rope.theta.was_read() && *rope.theta <= 1) {
    hits.at(rope.theta.origin,
            fmt::format("rope_theta is {}: {}", format_number(*rope.theta),
                        *rope.theta == 1
                            ? "every pair turns equally fast, and YaRN divides by its logarithm, 0"
                            : "later pairs turn faster than the first, not slower"));
  }
}

void theta_missing(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.is_huggingface() && rope.rotated
      && rope.theta.origin.kind == model::Origin::Kind::defaulted) {
    hits.at_missing_key("rope_theta",
                        fmt::format("rope_theta is missing; {} stands in for it, which is one "
                                    "class's default (LongCat's is 1e7)",
                                    format_number(*rope.theta)));
  }
}

void attention_factor_integer(const Subject& subject, Hits& hits) {
  const std::optional<json::Value> value = subject.rope_key("attention_factor");
  if (subject.is_huggingface() && value && value->kind() == json::Kind::integer) {
    hits.at(*value, fmt::format("attention_factor is the integer {}; transformers warns about "
                                "anything but a float",
                                value->excerpt()));
  }
}

void attn_factor_key(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.is_huggingface() && rope.rotated && rope.attn_factor && *rope.attn_factor != 1) {
    hits.at(rope.attn_factor.origin,
            fmt::format("attn_factor {} multiplies cos and sin in vLLM and SGLang; transformers "
                        "does not know the key",
                        format_number(*rope.attn_factor)));
  }
}

void longrope_factors(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const std::string type = rope.type.value_or("default");
  const std::int64_t pairs = subject.config.dims.qk_rope_head_dim.value_or(0) / 2;
  if (!subject.is_huggingface() || (type != "longrope" && type != "su")) {
    return;
  }
  for (const std::string_view name : {"short_factor", "long_factor"}) {
    const std::optional<json::Value> list = subject.rope_key(name);
    if (!list) {
      hits.at_missing_rope_key(name, fmt::format("longrope without {}", name));
    } else if (!list->is_array() || static_cast<std::int64_t>(list->size()) != pairs) {
      hits.at(*list, fmt::format("{} has {} entries, but qk_rope_head_dim {} makes {} pairs", name,
                                 list->size(), pairs * 2, pairs));
    }
  }
}

void default_with_yarn_keys(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const bool scaled = (rope.factor && *rope.factor != 1) || rope.mscale_all_dim.value_or(0) != 0;
  if (subject.is_huggingface() && rope.rotated && rope.type.was_read() && *rope.type == "default"
      && scaled) {
    hits.at(rope.type.origin,
            "rope type \"default\" beside factor or mscale keys: transformers 5 and vLLM ignore "
            "them, transformers 4 and SGLang apply mscale_all_dim for any rope_scaling");
  }
}

constexpr std::array k_rope_values_rules = {
    Rule{"MLA220", "rope-factor-missing", Severity::error, "a scaled rope type without a factor",
         "g(factor, mscale_all_dim) and the frequencies both need it. transformers and vLLM index "
         "it (KeyError), SGLang takes 1 and goes on.",
         "\"rope_scaling\": {\"rope_type\": \"yarn\", \"mscale_all_dim\": 1.0}",
         "write the factor, max_position_embeddings / original_max_position_embeddings",
         "transformers modular_deepseek_v2.py@decba1d2 L239; sglang model_config.py@001adf56",
         factor_missing, "MLA208"},
    Rule{"MLA221", "longrope-without-factor", Severity::warning,
         "longrope without a factor fails in transformers 5.15 to 5.17",
         "Since #47435 the attention asks for rope_parameters[\"factor\"] under any type but "
         "\"default\", also when mscale_all_dim is absent. The published MiniCPM3-4B cannot be "
         "loaded there.",
         "\"rope_scaling\": {\"type\": \"longrope\", \"long_factor\": [...]} without factor",
         "add \"factor\" (max_position_embeddings / original_max_position_embeddings), or use "
         "another version",
         "transformers 5.17.0 on MiniCPM3-4B: KeyError 'factor' (executed)",
         longrope_without_factor},
    Rule{"MLA222", "yarn-factor-not-above-one", Severity::warning,
         "YaRN with a factor of 1 or less",
         "g clamps to 1 while the frequency ramp still divides by the factor; below 1 it stretches "
         "instead of compressing.",
         "\"rope_type\": \"yarn\", \"factor\": 1.0",
         "use rope type \"default\", or the factor that "
         "was meant",
         "transformers modeling_rope_utils.py@decba1d2 (warns below 1)", factor_not_above_one},
    Rule{"MLA223", "yarn-factor-not-quotient", Severity::warning,
         "factor is not max_position_embeddings / original",
         "Some versions recompute the factor from the lengths for cos, sin and frequencies, while "
         "the softmax scale keeps the written one.",
         "factor 40, original 4096, max_position_embeddings 32768",
         "keep the three consistent when one is edited",
         "transformers eca74d13 (4.51) to 6451294f (4.56), and 5.0 pre-releases 10de06da",
         factor_differs_from_lengths, "MLA313"},
    Rule{
        "MLA224", "yarn-original-missing", Severity::error,
        "YaRN without original_max_position_embeddings",
        "Every engine has its own stand-in (max_position_embeddings, 4096, 1024, KeyError), and "
        "each gives other frequencies. vLLM indexes the key, but under \"yarn\" transformers 5 has "
        "written max_position_embeddings there before.",
        "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40}",
        "write original_max_position_embeddings",
        "transformers modeling_rope_utils.py@decba1d2 L742; vllm rotary_embedding@07b12f1b, "
        "config.py@0036026e; TensorRT-LLM RopeParams",
        original_missing, "MLA208"},
    Rule{"MLA225", "yarn-original-not-exceeded", Severity::warning,
         "max_position_embeddings does not exceed the original",
         "Engines copied from DeepSeek's inference code apply YaRN and mscale only beyond the "
         "original length. The others apply both always: 0.1352 against 0.0722 for V3.",
         "max_position_embeddings 4096, original_max_position_embeddings 4096",
         "keep max_position_embeddings at its published value and limit the length at run time",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788 L434; MaxText "
         "attention_mla.py@e591f30c; torchtitan#4117",
         original_not_exceeded},
    Rule{"MLA226", "yarn-original-overridden", Severity::warning,
         "original_max_position_embeddings stands twice and differs",
         "transformers 5 lets the attribute beside the dictionary win.",
         "\"original_max_position_embeddings\": 8192 beside 4096 in rope_scaling",
         "keep the one inside the dictionary", "transformers modeling_rope_utils.py@decba1d2 L742",
         original_overridden},
    Rule{"MLA227", "yarn-beta-unusual", Severity::warning,
         "beta_fast or beta_slow is not the usual",
         "Engines that hard-code 32 and 1 rotate by other angles. Kimi-K2 ships beta_fast 1.",
         "\"beta_fast\": 1.0",
         "pass the betas to engines that ignore the file "
         "(--yarn-beta-fast 1 in llama.cpp)",
         "llama.cpp src@663054a82 (read by grok and mistral3 only); TGI layers/rotary.py@db931fcf "
         "L124; Megatron-LM arguments.py@d98e8a64",
         beta_unusual},
    Rule{"MLA228", "yarn-beta-reversed", Severity::warning, "beta_fast is below beta_slow",
         "The ramp from interpolated to original frequencies then runs the wrong way.",
         "\"beta_fast\": 1, \"beta_slow\": 32", "swap them",
         "transformers modeling_rope_utils.py@decba1d2 (warns)", beta_reversed},
    Rule{"MLA229", "yarn-beta-zero", Severity::warning, "a beta of 0 or less",
         "transformers writes `beta or 32`, so 0 means the default there and infinity elsewhere. "
         "Below 0 the ends of the ramp are logarithms of negative numbers.",
         "\"beta_slow\": 0", "write the number that is meant",
         "transformers modeling_rope_utils.py@decba1d2 L345", beta_zero},
    Rule{"MLA230", "rope-theta-differs", Severity::warning, "rope_theta stands twice and differs",
         "Every angle depends on it; which one counts depends on the version.",
         "\"rope_theta\": 10000 beside rope_parameters.rope_theta 50000", "make the two equal",
         "transformers modeling_rope_utils.py@decba1d2 L742 (the inner one wins)", theta_differs},
    Rule{"MLA231", "rope-theta-missing", Severity::note, "rope_theta is missing",
         "The default is a property of a class, not of the file.",
         "no rope_theta in DeepSeek-V2-Chat", "write rope_theta",
         "transformers RotaryEmbeddingConfigMixin.default_theta@decba1d2", theta_missing},
    Rule{"MLA232", "attention-factor-integer", Severity::note, "attention_factor is an integer",
         "transformers warns; typed readers (serde in mistral.rs) may refuse.",
         "\"attention_factor\": 1", "write 1.0", "transformers modeling_rope_utils.py@decba1d2",
         attention_factor_integer},
    Rule{"MLA233", "attn-factor-key", Severity::warning,
         "attn_factor, which is not attention_factor",
         "vLLM and SGLang multiply cos and sin by it, so the rotated part of each logit by its "
         "square; transformers ignores it as an unknown key.",
         "\"attn_factor\": 1.2", "use attention_factor, or remove the key",
         "vllm deepseek_scaling_rope.py@00d678e1; sglang yarn.py@0b1fd02d", attn_factor_key},
    Rule{"MLA234", "longrope-factors-length", Severity::error,
         "longrope's lists do not fit the rotated slice",
         "Each list has one entry for each rotated pair.", "16 entries beside qk_rope_head_dim 64",
         "give each list qk_rope_head_dim / 2 entries",
         "transformers _compute_longrope_parameters@decba1d2", longrope_factors},
    Rule{"MLA235", "default-type-with-scaling-keys", Severity::warning,
         "rope type \"default\" beside scaling keys",
         "Somebody switched YaRN off by its type and left the rest. Readers that test for a "
         "dictionary instead of its type still apply mscale.",
         "\"rope_type\": \"default\", \"factor\": 40, \"mscale_all_dim\": 1.0",
         "remove the scaling keys",
         "transformers 4.51 to 4.57 modeling_deepseek_v3.py (rope_scaling is not None); "
         "sglang#34792; ROCm/aiter#4742",
         default_with_yarn_keys, "MLA201"},
    Rule{
        "MLA236", "rope-theta-too-small", Severity::error, "rope_theta is 1 or less",
        "Pair i turns by theta^(-2i/d): the wavelengths grow with theta above 1 only, and the ends "
        "of YaRN's ramp divide by its logarithm. Published values are 10000 to 5e7.",
        "\"rope_theta\": 1", "write the base that was trained with",
        "transformers modeling_rope_utils.py@decba1d2 _compute_yarn_parameters", theta_too_small},
};

} // namespace

std::span<const Rule> rope_value_rules() {
  return k_rope_values_rules;
}

} // namespace mla_scale::audit
