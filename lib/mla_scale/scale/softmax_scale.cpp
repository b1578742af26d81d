#include "parts.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::scale {
namespace {

using model::AttentionKind;
using model::Format;
using model::MlaConfig;
using model::Origin;

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
  if (magnitude.applies() && !config.rope.factor) {
    return factor_error(
        config, "its magnitude g(factor, mscale_all_dim) is squared into the softmax scale");
  }
  if (magnitude.applies()) {
    scale.mscale = yarn_magnitude(*config.rope.factor, magnitude.mscale_all_dim);
    scale.derivation.push_back(read_step("factor", magnitude.reason, config.rope.factor));
    Step all_dim{"mscale_all_dim", "weight of the magnitude", magnitude.mscale_all_dim,
                 config.rope.mscale_all_dim.origin};
    if (!config.rope.mscale_all_dim) {
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
  const bool possible = std::isfinite(scale.prefill) && scale.mscale > 0
                        && (!scale.cos_sin_factor
                            || (std::isfinite(*scale.cos_sin_factor) && *scale.cos_sin_factor > 0));
  if (!possible) {
    const model::Origin& origin =
        config.rope.mscale_all_dim ? config.rope.mscale_all_dim.origin : config.rope.factor.origin;
    return Error{
        ErrorKind::schema,
        fmt::format(
            "factor {} with these mscale keys gives g = {}, which no scale can be built from",
            format_number(config.rope.factor.value_or(1)), format_number(scale.mscale)),
        config.source, origin.pointer, origin.position};
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

} // namespace mla_scale::scale
