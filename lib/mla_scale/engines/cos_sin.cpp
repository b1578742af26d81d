#include <mla_scale/engines/magnitude.hpp>
#include <mla_scale/scale/yarn.hpp>

#include <cmath>

namespace mla_scale::engines {
namespace {

using scale::yarn_magnitude;

/// _compute_yarn_parameters of transformers 5: attention_factor, else the ratio when both keys are
/// truthy, else g(factor, 1).
double transformers_yarn(const EngineRule& rule, const RopeView& view) {
  if (view.attention_factor) {
    return *view.attention_factor;
  }
  const double original = view.original.value_or(view.max_positions);
  const bool from_lengths = !view.factor || (rule.factor_from_lengths && view.original);
  const double factor =
      from_lengths && original > 0 ? view.max_positions / original : view.factor.value_or(1);
  const double mscale = view.mscale.value_or(0);
  const double all_dim = view.mscale_all_dim.value_or(0);
  if (mscale != 0 && all_dim != 0) {
    return yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all_dim);
  }
  return yarn_magnitude(factor, 1);
}

double transformers_longrope(const RopeView& view) {
  if (view.attention_factor) {
    return *view.attention_factor;
  }
  const double original = view.original.value_or(view.max_positions);
  const double factor = view.factor    ? *view.factor
                        : original > 0 ? view.max_positions / original
                                       : 1.0;
  return factor > 1 && original > 1 ? std::sqrt(1 + std::log(factor) / std::log(original)) : 1.0;
}

} // namespace

std::optional<double> find_cos_sin(const EngineRule& rule, const model::MlaConfig& config,
                                   const RopeView& view, const Magnitude& magnitude) {
  if (!config.rope.rotated || rule.cos_sin == CosSin::unknown) {
    return std::nullopt;
  }
  if (rule.cos_sin == CosSin::one || view.type == "default") {
    return 1.0;
  }
  const bool longrope = view.type == "longrope" || view.type == "su";
  if (longrope && !rule.coerces_types) {
    return rule.cos_sin == CosSin::transformers ? std::optional(transformers_longrope(view))
                                                : std::nullopt;
  }
  if (!magnitude.yarn_seen && !rule.coerces_types) {
    return 1.0;
  }
  if (rule.cos_sin == CosSin::transformers) {
    return transformers_yarn(rule, view);
  }
  const double factor = view.factor.value_or(1);
  const double ratio =
      yarn_magnitude(factor, view.mscale.value_or(rule.missing_mscale.value_or(1)))
      / yarn_magnitude(factor, view.mscale_all_dim.value_or(rule.missing_all_dim.value_or(0)));
  return rule.attn_factor ? ratio * view.attn_factor.value_or(1) : ratio;
}

std::string cos_sin_reason(const EngineRule& rule, const RopeView& view) {
  switch (rule.cos_sin) {
  case CosSin::unknown:
    return {};
  case CosSin::one:
    return "it has no such factor";
  case CosSin::ratio:
    return view.attention_factor ? "attention_factor is not known to it"
                                 : "g(factor, mscale) / g(factor, mscale_all_dim)";
  case CosSin::transformers:
    return view.attention_factor ? "attention_factor"
           : view.mscale.value_or(0) != 0 && view.mscale_all_dim.value_or(0) != 0
               ? "g(factor, mscale) / g(factor, mscale_all_dim)"
               : "g(factor, 1) unless both mscale keys are there";
  }
  return {};
}

} // namespace mla_scale::engines
