#include "parts.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::scale {

using model::AttentionKind;
using model::Format;
using model::MlaConfig;
using model::ScaleRule;

namespace {

/// Who leaves the magnitude out of Mistral's models: by apply_scale, or by model class. SGLang
/// needs the key; converters to config.json drop it. ExLlamaV3 and NeMo Automodel read config.json
/// only.
std::vector<std::string> plain_engines(const MlaConfig& config) {
  if (config.format == Format::mistral) {
    return {"vllm", "sglang", "vllm-ascend"};
  }
  return config.rope.apply_scaling
             ? std::vector<std::string>{"vllm", "sglang", "vllm-ascend", "exllamav3",
                                        "nemo-automodel"}
             : std::vector<std::string>{"vllm", "vllm-ascend", "exllamav3", "nemo-automodel"};
}

/// Who squares g into the scale whatever apply_scale says. transformers has no class for Large 3
/// but converts it.
std::vector<std::string> magnitude_engines(const MlaConfig& config) {
  if (config.format == Format::mistral) {
    return {"transformers", "tensorrt-llm", "llama.cpp"};
  }
  return config.rope.apply_scaling
             ? std::vector<std::string>{"tensorrt-llm", "llama.cpp"}
             : std::vector<std::string>{"transformers", "sglang", "tensorrt-llm", "llama.cpp",
                                        "chatllm.cpp"};
}

} // namespace

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
    scale.alternatives = {
        {scale.base, "apply_scale is false, as published: YaRN frequencies without magnitude",
         plain_engines(config)},
        {with, "apply_scale is not looked at and mscale_all_dim is 1", magnitude_engines(config)}};
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
