#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/ggml.hpp>
#include <mla_scale/engines/magnitude.hpp>
#include <mla_scale/scale/yarn.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::engines {
namespace {

using model::Format;
using model::MlaConfig;

/// The GGUF keys that decide the scale, read from a GGUF or as the converter would write them.
struct GgmlRope {
  std::string architecture;
  bool yarn = false;
  bool factor_given = false;
  double factor = 1;
  std::optional<double> all_dim; ///< yarn_log_multiplier / 0.1
  double attn_factor = 1;
  bool unread_multiplier = false; ///< the loader of the architecture passes over it
  std::string remark;             ///< what the converter did to it
  std::string error;

  [[nodiscard]] double log_factor() const { return std::log(factor); }
  [[nodiscard]] double raw_multiplier() const { return 0.1 * all_dim.value_or(0); }
};

std::string_view converted_architecture(const MlaConfig& config) {
  const std::string_view family = config.family->id;
  return family == "deepseek_v32"  ? "deepseek32"
         : family == "glm_moe_dsa" ? "glm-dsa"
         : family == "mistral4"    ? "mistral4"
                                   : "deepseek2";
}

GgmlRope from_gguf(const MlaConfig& config) {
  GgmlRope rope;
  rope.architecture = config.gguf.architecture;
  const std::string type = config.rope.type.value_or("default");
  rope.yarn = type == "yarn";
  rope.factor_given = config.rope.factor.value.has_value();
  rope.factor = type == "default" ? 1 : config.rope.factor.value_or(1);
  rope.all_dim = config.rope.mscale_all_dim.value;
  rope.attn_factor = config.gguf.attn_factor.value_or(1);
  if (!config.gguf.scaling_type && rope.factor_given) {
    rope.remark = "rope.scaling.type is missing, which means linear";
  }
  return rope;
}

/// ggml-org/llama.cpp conversion/base.py and conversion/deepseek.py@663054a82.
GgmlRope from_converter(const EngineRule& rule, const MlaConfig& config) {
  const RopeView view = view_rope(rule, config);
  GgmlRope rope;
  rope.architecture = converted_architecture(config);
  rope.all_dim = view.mscale_all_dim;
  if (!view.dictionary || view.type == "default") {
    return rope;
  }
  if (view.type != "yarn" && view.type != "linear") {
    rope.remark =
        fmt::format("the converter writes no scaling keys for the rope type \"{}\"", view.type);
    return rope;
  }
  if (!view.factor) {
    rope.error = "KeyError: 'factor'";
    return rope;
  }
  rope.yarn = view.type == "yarn";
  rope.factor_given = true;
  rope.factor = *view.factor;
  return rope;
}

GgmlRope read_rope(const EngineRule& rule, const MlaConfig& config) {
  GgmlRope rope = config.format == Format::gguf ? from_gguf(config) : from_converter(rule, config);
  if (rope.architecture == "glm-dsa") {
    rope.unread_multiplier = rope.all_dim.has_value();
    rope.all_dim.reset();
  }
  return rope;
}

double head_scale(const MlaConfig& config) {
  return std::pow(static_cast<double>(*config.dims.qk_head_dim), -0.5);
}

Numbers numbers_of(const MlaConfig& config, double magnitude, double cos_sin, std::string reason) {
  Numbers numbers;
  numbers.prefill = head_scale(config) * magnitude * magnitude;
  numbers.decode = numbers.prefill;
  if (config.rope.rotated) {
    numbers.cos_sin_factor = cos_sin;
    const double attn_factor = config.gguf.attn_factor.value_or(1);
    numbers.cos_sin_reason =
        attn_factor != 1 ? fmt::format("rope.scaling.attn_factor {}", format_number(attn_factor))
        : config.rope.attention_factor ? "GGUF has no key for attention_factor"
                                       : "GGUF has no key for mscale";
  }
  numbers.prefill_reason = reason;
  numbers.decode_reason = std::move(reason);
  return numbers;
}

Numbers failed(std::string error, std::string why) {
  Numbers numbers;
  numbers.error = std::move(error);
  numbers.prefill_reason = std::move(why);
  return numbers;
}

/// m(mscale) / m(mscale_all_dim) as the context finds it; GGUF has no key for mscale.
double rotation_factor(const GgmlRope& rope) {
  const double all_dim = rope.all_dim.value_or(0);
  const double mscale = rope.architecture == "deepseek2" && all_dim != 1 ? all_dim : 1.0;
  return scale::yarn_magnitude(rope.factor, mscale) / scale::yarn_magnitude(rope.factor, all_dim);
}

std::string explain(const GgmlRope& rope, const std::string& text) {
  return rope.remark.empty() ? text : rope.remark + "; " + text;
}

std::string multiplier_words(const GgmlRope& rope) {
  return rope.unread_multiplier ? rope.architecture + "'s loader does not read yarn_log_multiplier"
         : rope.all_dim
             ? fmt::format("applies yarn_log_multiplier {}{}", format_number(rope.raw_multiplier()),
                           rope.factor < 1 ? ", to a factor below 1 too" : "")
             : "no yarn_log_multiplier: no mscale";
}

/// What the row makes of the multiplier, or the switch of the law that GGUF has no key for.
std::string multiplier_reason(const EngineRule& rule, const MlaConfig& config,
                              const GgmlRope& rope) {
  if (config.format == Format::gguf || !rope.all_dim) {
    return multiplier_words(rope);
  }
  return applied_because(rule, config, view_rope(rule, config), multiplier_words(rope));
}

/// What changes the scale beside the multiplier, given as `cause`; without any, what the
/// row makes of the multiplier.
std::string scale_reason(const EngineRule& rule, const MlaConfig& config, const GgmlRope& rope,
                         const std::string& cause) {
  std::string text = cause;
  if (rope.attn_factor != 1) {
    text = fmt::format("rope.scaling.attn_factor {} enters the scale squared{}{}",
                       format_number(rope.attn_factor), cause.empty() ? "" : "; ", cause);
  }
  if (text.empty() && rope.factor == 1 && !rope.remark.empty()) {
    return rope.remark;
  }
  return explain(rope, text.empty() ? multiplier_reason(rule, config, rope) : text);
}

/// The quotient of the context, which is 1 for deepseek2 alone; empty where it is 1.
std::string quotient_cause(const GgmlRope& rope) {
  return rope.yarn && rope.all_dim.value_or(0) != 0 && rotation_factor(rope) != 1
             ? fmt::format("multiplies by (g(factor, 1) / g(factor, {}))^2 too, as for every "
                           "architecture but deepseek2",
                           format_number(*rope.all_dim))
             : "";
}

/// What multiplies the scale beside the multiplier since #18006; empty for nothing.
std::string cause_since_18006(const GgmlRope& rope) {
  if (rope.factor == 1) {
    return {};
  }
  if (!rope.yarn) {
    return "a factor without yarn still multiplies by (1 + 0.1 ln factor)^2";
  }
  if (rope.all_dim.value_or(0) == 0) {
    return fmt::format("{} still multiplies by (1 + 0.1 ln factor)^2",
                       rope.unread_multiplier ? multiplier_words(rope) + ", and yarn without it"
                                              : "yarn without yarn_log_multiplier");
  }
  return rope.factor < 1 ? "takes the logarithm of a factor below 1 too" : quotient_cause(rope);
}

} // namespace

Numbers llama_cpp(const EngineRule& rule, const MlaConfig& config) {
  const GgmlRope rope = read_rope(rule, config);
  if (!rope.error.empty()) {
    return failed(rope.error, "the converter needs factor");
  }
  const double all_dim = rope.all_dim.value_or(0);
  const double plain_yarn = 1 + 0.1 * rope.log_factor();
  double attn_org = plain_yarn; // also where nothing is YaRN: the graph multiplies regardless
  double cos_sin = 1;
  if (rope.yarn) {
    attn_org = all_dim != 0 ? rotation_factor(rope) : scale::yarn_magnitude(rope.factor, 1);
    cos_sin = attn_org;
  }
  attn_org *= rope.attn_factor;
  cos_sin *= rope.attn_factor;
  return numbers_of(config, attn_org * (1 + 0.1 * all_dim * rope.log_factor()), cos_sin,
                    scale_reason(rule, config, rope, cause_since_18006(rope)));
}

Numbers llama_cpp_17945(const EngineRule& rule, const MlaConfig& config) {
  const GgmlRope rope = read_rope(rule, config);
  if (!rope.error.empty()) {
    return failed(rope.error, "the converter needs factor");
  }
  const double all_dim = rope.all_dim.value_or(0);
  const double attn_org =
      (rope.yarn && all_dim != 0 ? rotation_factor(rope) : 1.0) * rope.attn_factor;
  return numbers_of(config, attn_org * (1 + 0.1 * all_dim * rope.log_factor()), attn_org,
                    scale_reason(rule, config, rope, quotient_cause(rope)));
}

Numbers llama_cpp_7519(const EngineRule& rule, const MlaConfig& config) {
  const GgmlRope rope = read_rope(rule, config);
  if (!rope.error.empty()) {
    return failed(rope.error, "the converter needs factor");
  }
  return numbers_of(config, rope.attn_factor * (1 + rope.raw_multiplier() * rope.log_factor()), 1.0,
                    scale_reason(rule, config, rope, ""));
}

Numbers ollama_go(const EngineRule& rule, const MlaConfig& config) {
  const GgmlRope rope = read_rope(rule, config);
  if (!rope.error.empty()) {
    return failed(rope.error, "the converter needs factor");
  }
  if (config.format == Format::gguf && !config.gguf.key_length_mla) {
    return failed("attention.key_length_mla is 0", "needs the MLA layout of llama.cpp");
  }
  if (!rope.factor_given) {
    return failed("NaN: 0 * ln(0)", "rope.scaling.factor is missing and counts as 0");
  }
  const std::int64_t latent = config.dims.latent_dim.value_or(*config.dims.qk_head_dim);
  const std::int64_t length = config.gguf.key_length.value_or(latent);
  const double magnitude = 1 + rope.raw_multiplier() * rope.log_factor();
  Numbers numbers = numbers_of(
      config, magnitude, 1.0,
      length != *config.dims.qk_head_dim
          ? fmt::format("divides by the root of attention.key_length {}, not of key_length_mla {}",
                        length, *config.dims.qk_head_dim)
          : explain(rope, multiplier_reason(rule, config, rope)));
  numbers.prefill = std::pow(static_cast<double>(length), -0.5) * magnitude * magnitude;
  numbers.decode = numbers.prefill;
  return numbers;
}

} // namespace mla_scale::engines
