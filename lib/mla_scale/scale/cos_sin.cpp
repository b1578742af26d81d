#include "parts.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::scale {
namespace {

using model::AttentionKind;
using model::Format;
using model::MlaConfig;
using model::Origin;
using model::ScaleRule;

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
  const bool mistral_on = mistral_switch_is_on(config) && !rope.mscale_all_dim;
  const bool switched_off =
      rope.apply_scaling && !*rope.apply_scaling && !rope.mscale && !rope.mscale_all_dim;
  if (config.format == Format::deepseek || config.format == Format::mistral || switched_off
      || mistral_on) {
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

} // namespace

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

} // namespace mla_scale::scale
