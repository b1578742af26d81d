#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace mla_scale::audit {
namespace {

using model::Format;
using model::Rope;
using model::ScaleRule;

void mistral_disputed(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.config.family->rule != ScaleRule::mistral || !subject.scale
      || !subject.scale->disputed || subject.scale->alternatives.size() < 2) {
    return;
  }
  const std::vector<scale::Alternative>& values = subject.scale->alternatives;
  std::string message = fmt::format(
      "engines disagree on the softmax scale, {} or {}: what apply_scale means decides; "
      "`mla-scale engines` shows who takes which",
      format_number(values[0].value), format_number(values[1].value));
  if (rope.apply_scaling.was_read()) {
    hits.at(rope.apply_scaling.origin, std::move(message));
  } else {
    hits.at_missing_rope_key(subject.config.format == Format::mistral ? "apply_scale"
                                                                      : "apply_yarn_scaling",
                             std::move(message));
  }
}

void value_width_hides_bugs(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (subject.config.attention == model::AttentionKind::mla
      && *dims.v_head_dim == *dims.qk_head_dim) {
    hits.at(dims.v_head_dim.origin,
            fmt::format("v_head_dim equals the width of q and k ({}): this config cannot show an "
                        "engine that scales by v_head_dim^-1/2, nor one that drops V's padding",
                        *dims.v_head_dim));
  }
}

void llama_4_present(const Subject& subject, Hits& hits) {
  const model::Sourced<double>& beta = subject.config.extras.llama_4_beta;
  const bool nested = beta && beta.origin.pointer.ends_with("llama_4_scaling_beta");
  if (beta && *beta != 0 && !nested) {
    hits.at(beta.origin,
            fmt::format("q is multiplied by 1 + {} ln(1 + floor(position / {})) besides the "
                        "softmax scale; a check on tokens beyond that length must include it",
                        format_number(*beta),
                        format_number(subject.config.extras.llama_4_original.value_or(0))));
  }
}

void llama_4_nested(const Subject& subject, Hits& hits) {
  const model::Sourced<double>& beta = subject.config.extras.llama_4_beta;
  if (subject.is_huggingface() && beta && *beta != 0
      && beta.origin.pointer.ends_with("llama_4_scaling_beta")) {
    hits.at(beta.origin,
            "llama_4_scaling_beta stands inside the rope dictionary, where transformers looks; "
            "vLLM looks for llama_4_scaling at the top and misses it");
  }
}

void longcat_rescale_off(const Subject& subject, Hits& hits) {
  if (!subject.config.family->lora_scales_by_default) {
    return;
  }
  for (const model::Sourced<bool>* flag :
       {&subject.config.extras.mla_scale_q_lora, &subject.config.extras.mla_scale_kv_lora}) {
    if (flag->was_read() && !**flag) {
      hits.at(flag->origin, "the rescaling by sqrt(hidden_size / rank) is switched off here; "
                            "transformers applies it whatever the key says");
    }
  }
}

void unread_scale_key(const Subject& subject, Hits& hits) {
  for (const std::string_view name : {"softmax_scale", "attention_multiplier",
                                      "query_pre_attn_scalar", "attn_scale", "attention_scale"}) {
    const std::optional<json::Value> value = subject.key(name);
    if (value && value->is_number()) {
      hits.at(*value, fmt::format("{} {} is not read by the MLA classes of any engine; the scale "
                                  "comes from the widths and mscale",
                                  name, value->excerpt()));
    }
  }
}

/// "5.14.1" -> 514, "4.54.0.dev0" -> 454; 0 when it is not a version.
int release_of(std::string_view version) {
  int major = 0;
  int minor = 0;
  const char* end = version.data() + version.size();
  const auto first = std::from_chars(version.data(), end, major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') {
    return 0;
  }
  const auto second = std::from_chars(first.ptr + 1, end, minor);
  return second.ec == std::errc() && major < 100 && minor < 100 ? major * 100 + minor : 0;
}

void oracle_without_mscale(const Subject& subject, Hits& hits) {
  if (!subject.is_huggingface() || !subject.config.document || !subject.scale) {
    return;
  }
  const std::optional<json::Value> version =
      subject.config.document->root().find("transformers_version");
  const int release = version ? release_of(version->as_string().value_or("")) : 0;
  const bool second = subject.is_family("deepseek_v2") && release >= 454 && release <= 514;
  if (second && subject.scale->mscale != 1) {
    hits.at(*version,
            fmt::format("saved by transformers {}, whose deepseek_v2 leaves g^2 = {:.4g} out of "
                        "the softmax scale (4.54 to 5.14): outputs of that version are no "
                        "reference",
                        escape_control(version->as_string().value_or("")),
                        subject.scale->mscale * subject.scale->mscale));
  }
}

void length_gate_closed(const Subject& subject, Hits& hits) {
  const model::MlaConfig& config = subject.config;
  if (config.format != Format::deepseek || config.rope.type.value_or("") != "default"
      || config.attention != model::AttentionKind::mla) {
    return;
  }
  const model::Sourced<std::int64_t>& length = config.dims.max_position_embeddings;
  const model::Sourced<double>& original = config.rope.original_max_position_embeddings;
  hits.at(length.was_read() ? length.origin : original.origin,
          fmt::format("max_seq_len {}{} does not exceed original_seq_len {}: DeepSeek's inference "
                      "code then switches YaRN and mscale off, which no other engine does",
                      *length, length.was_read() ? "" : ", the default of ModelArgs,",
                      format_number(original.value_or(0))));
}

void inference_mscale_defaulted(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (subject.config.format == Format::deepseek && rope.is_yarn()
      && rope.mscale.origin.kind == model::Origin::Kind::defaulted) {
    hits.at_missing_key("mscale", "mscale is missing; ModelArgs has 1.0, while V2 models were "
                                  "trained with 0.707");
  }
}

constexpr std::array k_scale_rules = {
    Rule{"MLA320", "scale-disputed", Severity::warning,
         "engines disagree on what apply_scale means",
         "vLLM measured an accuracy regression with mscale (#57563), SGLang too (#26203); "
         "transformers and others apply it. Nobody has settled it, so both values are reported.",
         "Mistral Small 4: 0.0884 or 0.1950",
         "take the value of the engine that produced your reference, and say which",
         "vllm#57563; sglang#26203; transformers#47435; llama.cpp conversion/mistral.py@663054a82",
         mistral_disputed},
    Rule{"MLA321", "value-width-hides-bugs", Severity::note,
         "v_head_dim equals the width of q and k",
         "A wrong formula that gives the right number here is still wrong on the next model.",
         "GLM-5 (256 and 256), Mistral Small 4 (128 and 128)",
         "add a config with v_head_dim below qk_head_dim to your tests",
         "the widths of GLM-5 and Mistral Small 4; vllm prefill/flash_attn.py@0307fc6c",
         value_width_hides_bugs},
    Rule{"MLA322", "query-temperature", Severity::note, "llama_4_scaling multiplies q by position",
         "It is no part of the softmax scale and acts in prefill and decode alike, on positions "
         "beyond the original length only.",
         "\"llama_4_scaling\": {\"beta\": 0.1, \"original_max_position_embeddings\": 8192}",
         "include it when outputs are compared",
         "transformers ministral3@decba1d2 L105; vllm deepseek_v2.py@002d6073", llama_4_present},
    Rule{"MLA323", "query-temperature-nested", Severity::warning,
         "llama_4_scaling_beta inside the rope dictionary",
         "The two engines look in different places, and a miss is silent.",
         "\"rope_parameters\": {\"llama_4_scaling_beta\": 0.1}",
         "add llama_4_scaling at the top for engines that look there", "vllm#48621",
         llama_4_nested},
    Rule{"MLA324", "rescale-off", Severity::warning,
         "LongCat's rescaling of q and latent is switched off",
         "transformers has no switch: sqrt(6144 / 1536) = 2 on every q.",
         "\"mla_scale_q_lora\": false", "check that the engine honours the key",
         "transformers longcat_flash@decba1d2; vllm longcat_flash.py@055e47c2",
         longcat_rescale_off},
    Rule{"MLA325", "scale-key-unread", Severity::warning, "a key for the scale that nothing reads",
         "Other architectures have such keys (Granite, Gemma, Megatron's softmax_scale); MLA "
         "classes ignore them.",
         "\"softmax_scale\": 0.1352", "remove the key",
         "NVIDIA/Megatron-LM#3698 (config.softmax_scale ignored for MLA)", unread_scale_key},
    Rule{"MLA326", "saved-without-mscale", Severity::warning,
         "saved by a transformers that lacks mscale in deepseek_v2",
         "From 4.54 to 5.14 the scale of deepseek_v2 was 192^-1/2 whatever the file said. Dumps "
         "and expected logits of those versions are wrong by g^2 = 1.59.",
         "\"transformers_version\": \"5.14.1\" in DeepSeek-V2-Lite",
         "make references with 5.15 or later", "transformers#36400, #47435", oracle_without_mscale},
    Rule{"MLA327", "length-gate-closed", Severity::warning,
         "max_seq_len does not exceed original_seq_len",
         "The gate is part of DeepSeek's inference code and its copies only.",
         "\"max_seq_len\": 4096", "set max_seq_len above original_seq_len",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788 L434", length_gate_closed},
    Rule{"MLA328", "inference-mscale-defaulted", Severity::note,
         "mscale is left to the default of ModelArgs",
         "The default 1.0 is right for V3. For V2 the file has to say 0.707.", "config_671B.json",
         "write mscale into the file",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788 ModelArgs",
         inference_mscale_defaulted},
};

} // namespace

std::span<const Rule> scale_rules() {
  return k_scale_rules;
}

} // namespace mla_scale::audit
