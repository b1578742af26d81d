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

} // namespace mla_scale::scale
