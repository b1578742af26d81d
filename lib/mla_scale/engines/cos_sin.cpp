#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/magnitude.hpp>
#include <mla_scale/scale/yarn.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::engines {
namespace {

using scale::yarn_magnitude;

/// "mscale 0.707", "mscale (missing) 1".
std::string operand(std::string_view key, const std::optional<double>& given, double value) {
  return fmt::format("{}{} {}", key, given ? "" : " (missing)", format_number(value));
}

CosSinFactor quotient(const RopeView& view, double factor, double mscale, double all_dim) {
  return {yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all_dim),
          fmt::format("g(factor, {}) / g(factor, {})", operand("mscale", view.mscale, mscale),
                      operand("mscale_all_dim", view.mscale_all_dim, all_dim))};
}

/// _compute_yarn_parameters of transformers 5: attention_factor, else the ratio when both keys are
/// truthy, else g(factor, 1).
CosSinFactor transformers_yarn(const EngineRule& rule, const RopeView& view) {
  if (view.attention_factor) {
    return {*view.attention_factor, "attention_factor"};
  }
  const double original = view.original.value_or(view.max_positions);
  const bool from_lengths = !view.factor || (rule.factor_from_lengths && view.original);
  const double factor =
      from_lengths && original > 0 ? view.max_positions / original : view.factor.value_or(1);
  const double mscale = view.mscale.value_or(0);
  const double all_dim = view.mscale_all_dim.value_or(0);
  CosSinFactor result =
      mscale != 0 && all_dim != 0
          ? quotient(view, factor, mscale, all_dim)
          : CosSinFactor{yarn_magnitude(factor, 1),
                         "g(factor, 1), unless both mscale keys are there and not 0"};
  if (factor != view.factor.value_or(factor)) {
    result.reason += fmt::format(", with max_position_embeddings / original = {} for the factor",
                                 format_number(factor));
  }
  return result;
}

CosSinFactor transformers_longrope(const RopeView& view) {
  if (view.attention_factor) {
    return {*view.attention_factor, "attention_factor"};
  }
  const double original = view.original.value_or(view.max_positions);
  const double factor = view.factor    ? *view.factor
                        : original > 0 ? view.max_positions / original
                                       : 1.0;
  return {factor > 1 && original > 1 ? std::sqrt(1 + std::log(factor) / std::log(original)) : 1.0,
          "sqrt(1 + ln(factor) / ln(original))"};
}

/// DeepseekScalingRotaryEmbedding and its kin: the ratio, and attn_factor where it is known.
CosSinFactor deepseek_yarn(const EngineRule& rule, const model::MlaConfig& config,
                           const RopeView& view) {
  const model::Rope& rope = config.rope;
  CosSinFactor result = quotient(view, view.factor.value_or(missing_factor_of(rule)),
                                 view.mscale.value_or(rule.missing_mscale.value_or(1)),
                                 view.mscale_all_dim.value_or(rule.missing_all_dim.value_or(0)));
  if (!rope.is_yarn()) {
    result.reason = fmt::format("turns the rope type \"{}\" into YaRN",
                                escape_control(rope.type.value_or("default")));
  } else if (view.attention_factor && *view.attention_factor != *result.value) {
    result.reason = "attention_factor is not known to it";
  } else if (rope.apply_scaling && !*rope.apply_scaling && !view.mscale && !view.mscale_all_dim) {
    result.reason = fmt::format("{} false does not count here; {}", view.apply_key, result.reason);
  }
  const double extra = rule.attn_factor ? view.attn_factor.value_or(1) : 1;
  if (extra != 1) {
    result.value = *result.value * extra;
    result.reason = fmt::format("attn_factor {}", format_number(extra));
  }
  return result;
}

} // namespace

CosSinFactor find_cos_sin(const EngineRule& rule, const model::MlaConfig& config,
                          const RopeView& view, const Magnitude& magnitude) {
  if (!config.rope.rotated || rule.cos_sin == CosSin::unknown) {
    return {};
  }
  if (rule.cos_sin == CosSin::one) {
    return {1.0, "it has no such factor"};
  }
  if (view.type == "default") {
    return {1.0,
            magnitude.closed.empty() ? "takes the rope type for \"default\"" : magnitude.closed};
  }
  const bool longrope = view.type == "longrope" || view.type == "su";
  if (longrope && !rule.coerces_types) {
    return rule.cos_sin == CosSin::transformers ? transformers_longrope(view) : CosSinFactor{};
  }
  if (!magnitude.yarn_seen && !rule.coerces_types) {
    return {1.0, magnitude.closed.empty() ? "does not take the rope for YaRN" : magnitude.closed};
  }
  return rule.cos_sin == CosSin::transformers ? transformers_yarn(rule, view)
                                              : deepseek_yarn(rule, config, view);
}

} // namespace mla_scale::engines
