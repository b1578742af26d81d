#include <mla_scale/core/text.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::scale {
namespace {

using model::AttentionKind;
using model::Format;
using model::MlaConfig;
using model::Origin;
using model::ScaleRule;

constexpr std::string_view k_rope_types[] = {"default",       "linear",         "dynamic",  "yarn",
                                             "deepseek_yarn", "telechat3-yarn", "longrope", "su",
                                             "llama3",        "proportional",   "mrope",    "ntk"};

Origin computed() {
  return Origin{Origin::Kind::derived, {}, {}, {}, "computed from the steps above"};
}

template <typename T>
Step read_step(std::string name, std::string formula, const model::Sourced<T>& field) {
  return Step{std::move(name), std::move(formula), static_cast<double>(*field), field.origin};
}

Error factor_error(const MlaConfig& config, std::string_view why) {
  const Origin& origin = config.rope.factor.origin;
  const bool null = origin.kind == Origin::Kind::null;
  Position position = origin.position;
  std::string pointer = null ? origin.pointer : config.rope.container_pointer + "/factor";
  if (position.line == 0 && config.document) {
    const Origin& type = config.rope.type.origin;
    position = type.position;
  }
  return Error{ErrorKind::schema,
               fmt::format("rope type \"{}\" needs a factor, but {} ({})",
                           config.rope.type.value_or("default"),
                           null ? "it is null" : "there is none", why),
               config.source, std::move(pointer), position};
}

/// Whether the magnitude g applies, and with which mscale_all_dim.
struct Magnitude {
  bool applies = false;
  double mscale_all_dim = 0;
  std::string reason; ///< why it applies or not
  Origin origin;      ///< the key that the reason is about, or the family's row
};

Origin family_row(const MlaConfig& config) {
  return Origin{Origin::Kind::defaulted,
                {},
                {},
                {},
                fmt::format("{}: {}", config.family->id, config.family->source)};
}

Magnitude magnitude_of(const MlaConfig& config) {
  const model::Rope& rope = config.rope;
  const std::string type = rope.type.value_or("default");
  const double all_dim = rope.mscale_all_dim.value_or(0);
  if (config.attention == AttentionKind::shared_kv) {
    return {false, 0, "one shared K = V head of width head_dim: mscale never applies",
            family_row(config)};
  }
  if (config.family->rule == ScaleRule::never) {
    const bool nope = config.attention == AttentionKind::mla_nope;
    return {false, 0,
            nope ? "nothing is rotated, so there is no YaRN correction"
                 : "this family never applies mscale",
            family_row(config)};
  }
  if (type == "default") {
    return {false, 0, "rope type \"default\": no YaRN correction", rope.type.origin};
  }
  if (config.family->rule == ScaleRule::deepseek_yarn && type != "deepseek_yarn") {
    return {false, 0, "this family applies mscale only for the rope type \"deepseek_yarn\"",
            rope.type.origin};
  }
  if (rope.apply_scaling && !*rope.apply_scaling) {
    return {false, 0, "YaRN's magnitude is switched off", rope.apply_scaling.origin};
  }
  if (config.format == Format::mistral) {
    return {true, 1.0, "apply_scale is not false, which means mscale_all_dim 1",
            rope.apply_scaling.origin};
  }
  if (all_dim == 0) {
    return {false, 0, "mscale_all_dim is absent or 0", rope.mscale_all_dim.origin};
  }
  return {true, all_dim, fmt::format("rope type \"{}\" with mscale_all_dim", type),
          rope.mscale_all_dim.origin};
}

/// cos/sin multiplier of yarn: attention_factor if given, else g(factor, mscale) / g(factor,
/// mscale_all_dim) with DeepSeek's class defaults mscale 1 and mscale_all_dim 0 (vllm
/// deepseek_scaling_rope.py@00d678e1; remote code of V3).
void set_yarn_cos_sin(const MlaConfig& config, SoftmaxScale& scale) {
  const model::Rope& rope = config.rope;
  const double factor = *rope.factor;
  if (rope.attention_factor) {
    scale.cos_sin_factor = *rope.attention_factor;
    scale.cos_sin_formula = "attention_factor";
    return;
  }
  if (rope.type.value_or("") == "telechat3-yarn") {
    scale.cos_sin_factor = factor <= 1 ? 1.0 : 0.07 * std::log(factor) + 1.0;
    scale.cos_sin_formula = "0.07 * ln(factor) + 1";
    return;
  }
  const bool switched_off =
      rope.apply_scaling && !*rope.apply_scaling && !rope.mscale && !rope.mscale_all_dim;
  if (config.format == Format::deepseek || config.format == Format::mistral || switched_off) {
    scale.cos_sin_factor = 1.0;
    scale.cos_sin_formula = "1";
    return;
  }
  double mscale = rope.mscale.value_or(1.0);
  const double all_dim = rope.mscale_all_dim.value_or(0.0);
  if (config.format == Format::gguf && config.gguf.architecture == "deepseek2" && all_dim != 0) {
    mscale = all_dim; // GGUF has no key for mscale; llama.cpp takes the two for equal here
  }
  scale.cos_sin_factor = yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all_dim);
  scale.cos_sin_formula = fmt::format("g(factor, mscale {}) / g(factor, mscale_all_dim {})",
                                      format_number(mscale), format_number(all_dim));
}

/// longrope: sqrt(1 + ln(factor) / ln(original)), with factor = max / original (transformers
/// _compute_longrope_parameters).
void set_longrope_cos_sin(const MlaConfig& config, SoftmaxScale& scale) {
  const model::Rope& rope = config.rope;
  const double original = rope.original_max_position_embeddings.value_or(0);
  const double maximum = static_cast<double>(config.dims.max_position_embeddings.value_or(0));
  const double factor = rope.factor ? *rope.factor : original > 0 ? maximum / original : 1.0;
  const bool grows = factor > 1 && original > 1;
  scale.cos_sin_factor = rope.attention_factor ? *rope.attention_factor
                         : grows ? std::sqrt(1 + std::log(factor) / std::log(original))
                                 : 1.0;
  scale.cos_sin_formula = rope.attention_factor ? "attention_factor"
                          : grows               ? "sqrt(1 + ln(max / original) / ln(original))"
                                  : "1: max_position_embeddings does not exceed the original";
}

std::optional<Error> set_cos_sin(const MlaConfig& config, SoftmaxScale& scale) {
  const model::Rope& rope = config.rope;
  if (!rope.rotated) {
    return std::nullopt;
  }
  const std::string type = rope.type.value_or("default");
  if (config.attention == AttentionKind::shared_kv) {
    scale.cos_sin_factor = rope.attention_factor.value_or(1.0);
    scale.cos_sin_formula =
        rope.attention_factor ? "attention_factor" : "1 (attention_factor is 1 unless given)";
  } else if (rope.is_yarn()) {
    if (!rope.factor) {
      return factor_error(config, "its frequencies are divided by it");
    }
    set_yarn_cos_sin(config, scale);
  } else if (type == "longrope" || type == "su") {
    set_longrope_cos_sin(config, scale);
  } else {
    scale.cos_sin_factor = 1.0;
    scale.cos_sin_formula = fmt::format("1 for rope type \"{}\"", type);
  }
  return std::nullopt;
}

/// Names what beside the scale changes logits, so that nobody takes the number for the whole story.
void set_beside(const MlaConfig& config, SoftmaxScale& scale) {
  const model::Extras& extras = config.extras;
  const auto rank_factor = [&](const model::Sourced<std::int64_t>& rank) {
    return std::sqrt(static_cast<double>(config.dims.hidden_size.value_or(0))
                     / static_cast<double>(*rank));
  };
  if (extras.mla_scale_q_lora.value_or(false) && config.dims.q_lora_rank
      && config.dims.hidden_size) {
    scale.beside.push_back(fmt::format("q is multiplied by sqrt(hidden_size / q_lora_rank) = {}",
                                       format_number(rank_factor(config.dims.q_lora_rank))));
  }
  if (extras.mla_scale_kv_lora.value_or(false) && config.dims.hidden_size
      && config.dims.kv_lora_rank) {
    scale.beside.push_back(
        fmt::format("the latent (not k_pe) is multiplied by sqrt(hidden_size / kv_lora_rank) = {}",
                    format_number(rank_factor(config.dims.kv_lora_rank))));
  }
  if (extras.llama_4_beta && extras.llama_4_original) {
    scale.beside.push_back(
        fmt::format("llama_4_scaling: q is multiplied by 1 + {} * ln(1 + floor(position / {}))",
                    format_number(*extras.llama_4_beta), format_number(*extras.llama_4_original)));
  } else if (config.family->rule == ScaleRule::mistral && !extras.llama_4_beta) {
    scale.beside.push_back(
        "llama_4_scaling is not in this file; published models of this family have it");
  }
  const bool told =
      config.family->lora_scales_by_default || config.family->rule == ScaleRule::mistral;
  if (!config.family->beside.empty() && !told) {
    scale.beside.emplace_back(config.family->beside);
  }
  if (extras.index_topk && config.family->beside.find("indexer") == std::string_view::npos) {
    scale.beside.emplace_back("a sparse indexer chooses the keys");
  }
}

/// Where engines are known to take different values from the same file.
void set_dispute(const MlaConfig& config, SoftmaxScale& scale) {
  const model::Rope& rope = config.rope;
  const bool magnitude_possible =
      config.family->rule == ScaleRule::mistral || config.family->rule == ScaleRule::deepseek;
  if (!magnitude_possible || config.attention == AttentionKind::shared_kv
      || rope.type.value_or("default") == "default" || !rope.factor || *rope.factor <= 1) {
    return;
  }
  const bool mistral = config.family->rule == ScaleRule::mistral;
  const bool off = rope.apply_scaling && !*rope.apply_scaling;
  const double all_dim = rope.mscale_all_dim.value_or(mistral ? 1.0 : 0.0);
  const double g = yarn_magnitude(*rope.factor, all_dim);
  const double with = scale.base * g * g;
  if (mistral) {
    scale.disputed = true;
    scale.deciding_key =
        rope.apply_scaling ? rope.apply_scaling.origin.pointer : "apply_scale in params.json";
    scale.alternatives = {{scale.base,
                           "apply_scale is false, as published: YaRN frequencies without magnitude",
                           {"vllm", "sglang", "vllm-ascend", "exllamav3", "nemo-automodel"}},
                          {with,
                           "apply_scale is not looked at and mscale_all_dim is 1",
                           {"transformers", "tensorrt-llm", "llama.cpp", "chatllm.cpp"}}};
  } else if (off && all_dim != 0) {
    scale.disputed = true;
    scale.deciding_key = rope.apply_scaling.origin.pointer;
    scale.alternatives = {{scale.base,
                           "apply_yarn_scaling false is honoured",
                           {"vllm@41744", "sglang", "vllm-ascend"}},
                          {with,
                           "the key is not known",
                           {"transformers", "vllm", "deepseek-inference", "tensorrt-llm"}}};
  } else if (rope.attention_factor && *rope.attention_factor == 1.0 && all_dim != 0) {
    scale.disputed = true;
    scale.deciding_key = rope.attention_factor.origin.pointer;
    scale.alternatives = {{with,
                           "attention_factor is about cos and sin only",
                           {"transformers", "sglang", "vllm@41744"}},
                          {scale.base, "attention_factor 1.0 switches mscale off", {"vllm"}}};
  } else if (config.format == Format::gguf && rope.is_yarn() && !config.gguf.yarn_log_multiplier) {
    const double plain_yarn = yarn_magnitude(*rope.factor, 1.0);
    scale.disputed = true;
    scale.deciding_key = config.gguf.architecture + ".rope.scaling.yarn_log_multiplier";
    scale.alternatives = {{scale.base,
                           "yarn_log_multiplier is missing: mscale_all_dim is taken for 0",
                           {"llama.cpp@17945", "ik-llama.cpp"}},
                          {scale.base * plain_yarn * plain_yarn,
                           "a missing yarn_log_multiplier still multiplies by "
                           "(1 + 0.1 ln factor)^2",
                           {"llama.cpp"}}};
  }
}

void add_base_steps(const MlaConfig& config, SoftmaxScale& scale) {
  const model::Dims& dims = config.dims;
  std::vector<Step>& steps = scale.derivation;
  if (config.attention == AttentionKind::shared_kv) {
    steps.push_back(read_step("head_dim", "width of q and of the shared K = V", dims.head_dim));
    steps.push_back({"base", "head_dim^-1/2", scale.base, computed()});
    return;
  }
  if (dims.qk_head_dim.was_read()) {
    steps.push_back(read_step("qk_head_dim", "width of q and k", dims.qk_head_dim));
  } else {
    steps.push_back(
        read_step("qk_nope_head_dim", "unrotated slice of q and k", dims.qk_nope_head_dim));
    steps.push_back(read_step("qk_rope_head_dim",
                              config.rope.rotated ? "rotated slice of q and k"
                                                  : "slice that is never rotated but counts",
                              dims.qk_rope_head_dim));
    steps.push_back({"qk_head_dim", "qk_nope_head_dim + qk_rope_head_dim",
                     static_cast<double>(*dims.qk_head_dim), computed()});
  }
  steps.push_back({"base", "qk_head_dim^-1/2", scale.base, computed()});
}

std::optional<Error> check_rope_type(const MlaConfig& config) {
  const std::string type = config.rope.type.value_or("default");
  if (config.attention == AttentionKind::mla_nope
      || std::find(std::begin(k_rope_types), std::end(k_rope_types), type)
             != std::end(k_rope_types)) {
    return std::nullopt;
  }
  const std::string_view near = closest_match(type, k_rope_types);
  return Error{ErrorKind::unsupported,
               fmt::format("rope type \"{}\" is not known{}", type,
                           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)),
               config.source, config.rope.type.origin.pointer, config.rope.type.origin.position};
}

} // namespace

std::span<const std::string_view> known_rope_types() {
  return k_rope_types;
}

Result<SoftmaxScale> derive_softmax_scale(const MlaConfig& config) {
  if (std::optional<Error> error = check_rope_type(config)) {
    return *error;
  }
  SoftmaxScale scale;
  // pow, not 1 / sqrt: the same rounding as Python's d ** -0.5, so that printed digits agree with
  // the engines.
  scale.base = std::pow(static_cast<double>(*config.dims.qk_head_dim), -0.5);
  add_base_steps(config, scale);

  const Magnitude magnitude = magnitude_of(config);
  if (magnitude.applies && !config.rope.factor) {
    return factor_error(
        config, "its magnitude g(factor, mscale_all_dim) is squared into the softmax scale");
  }
  if (magnitude.applies) {
    scale.mscale = yarn_magnitude(*config.rope.factor, magnitude.mscale_all_dim);
    scale.derivation.push_back(read_step("factor", magnitude.reason, config.rope.factor));
    Step all_dim{"mscale_all_dim", "weight of the magnitude", magnitude.mscale_all_dim,
                 config.rope.mscale_all_dim.origin};
    if (config.format == Format::mistral) {
      all_dim.origin =
          Origin{Origin::Kind::defaulted, {}, {}, {}, "1 wherever Mistral's apply_scale is on"};
    } else if (config.format == Format::gguf) {
      all_dim.formula = "yarn_log_multiplier / 0.1";
    } else if (config.format == Format::deepseek) {
      all_dim.formula = "DeepSeek's single key mscale plays this part";
    }
    scale.derivation.push_back(std::move(all_dim));
    scale.derivation.push_back(
        {"g",
         *config.rope.factor > 1 ? "0.1 * mscale_all_dim * ln(factor) + 1" : "1, since factor <= 1",
         scale.mscale, computed()});
  } else {
    scale.derivation.push_back({"g", magnitude.reason, 1.0, magnitude.origin});
  }
  scale.prefill = scale.base * scale.mscale * scale.mscale;
  scale.decode = scale.prefill;
  scale.derivation.push_back({"prefill", "base * g^2", scale.prefill, computed()});
  const std::string width =
      config.dims.latent_dim
          ? fmt::format("the same: absorbed decode contracts over {} but over the "
                        "same inner product",
                        *config.dims.latent_dim)
          : "the same";
  scale.derivation.push_back({"decode", width, scale.decode, computed()});

  if (std::optional<Error> error = set_cos_sin(config, scale)) {
    return *error;
  }
  set_beside(config, scale);
  set_dispute(config, scale);
  return scale;
}

RopeFrequencies rope_frequencies(const MlaConfig& config) {
  const model::Rope& rope = config.rope;
  RopeFrequencies frequencies;
  frequencies.rotary_dim = static_cast<int>(config.dims.qk_rope_head_dim.value_or(0));
  frequencies.theta = rope.theta.value_or(10000);
  frequencies.yarn = rope.is_yarn();
  frequencies.factor = rope.factor.value_or(1);
  frequencies.original_max_position_embeddings = rope.original_max_position_embeddings.value_or(
      static_cast<double>(config.dims.max_position_embeddings.value_or(4096)));
  // 0 and null both mean the default, as in transformers.
  const double fast = rope.beta_fast.value_or(0);
  const double slow = rope.beta_slow.value_or(0);
  frequencies.beta_fast = fast == 0 ? 32 : fast;
  frequencies.beta_slow = slow == 0 ? 1 : slow;
  frequencies.truncate = rope.truncate.value_or(true);
  return frequencies;
}

std::vector<CacheBytes> cache_bytes(const MlaConfig& config) {
  struct Row {
    std::string_view dtype;
    std::int64_t bytes;
  };
  std::vector<CacheBytes> rows;
  for (const Row& row : {Row{"bf16", 2}, Row{"fp8", 1}, Row{"fp32", 4}}) {
    CacheBytes bytes;
    bytes.dtype = std::string(row.dtype);
    if (config.dims.latent_dim) {
      bytes.latent = *config.dims.latent_dim * row.bytes;
      if (config.dims.num_attention_heads) {
        bytes.expanded = *config.dims.num_attention_heads
                         * (*config.dims.qk_head_dim + *config.dims.v_head_dim) * row.bytes;
      }
    } else {
      bytes.latent = *config.dims.head_dim * row.bytes;
    }
    rows.push_back(std::move(bytes));
  }
  return rows;
}

} // namespace mla_scale::scale
