#include "parts.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::scale {

using model::AttentionKind;
using model::Format;
using model::MlaConfig;
using model::ScaleRule;

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
  if (mistral && !mistral_switch_is_on(config)) {
    scale.disputed = true;
    // The key may be missing, as in every config that transformers' converter wrote.
    scale.deciding_key = rope.apply_scaling ? rope.apply_scaling.origin.pointer
                                            : rope.container_pointer + "/apply_yarn_scaling";
    scale.alternatives = {
        {scale.base,
         "apply_scale is false, as Mistral publishes it: YaRN frequencies without magnitude",
         {}},
        {with, "apply_scale is not looked at, and mscale_all_dim is 1", {}}};
  } else if (off && all_dim != 0) {
    scale.disputed = true;
    scale.deciding_key = rope.apply_scaling.origin.pointer;
    scale.alternatives = {{scale.base, "apply_yarn_scaling false is honoured", {}},
                          {with, "the key is not known", {}}};
  } else if (rope.attention_factor && *rope.attention_factor == 1.0 && all_dim != 0) {
    scale.disputed = true;
    scale.deciding_key = rope.attention_factor.origin.pointer;
    scale.alternatives = {{with, "attention_factor is about cos and sin only", {}},
                          {scale.base, "attention_factor 1.0 switches mscale off", {}}};
  } else if (config.format == Format::gguf && rope.is_yarn() && !config.gguf.yarn_log_multiplier) {
    const double plain_yarn = yarn_magnitude(*rope.factor, 1.0);
    scale.disputed = true;
    scale.deciding_key = config.gguf.architecture + ".rope.scaling.yarn_log_multiplier";
    scale.alternatives = {
        {scale.base, "yarn_log_multiplier is missing: mscale_all_dim is taken for 0", {}},
        {scale.base * plain_yarn * plain_yarn,
         "a missing yarn_log_multiplier still multiplies by "
         "(1 + 0.1 ln factor)^2",
         {}}};
  }
}

} // namespace mla_scale::scale
