#include "parts.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <utility>

namespace mla_scale::scale {
namespace {

using model::AttentionKind;
using model::Format;
using model::MlaConfig;
using model::Origin;
using model::ScaleRule;

Origin family_row(const MlaConfig& config) {
  return Origin{Origin::Kind::defaulted,
                {},
                {},
                {},
                fmt::format("{}: {}", config.family->id, config.family->source)};
}

Magnitude closed(Closed why, std::string reason, Origin origin) {
  return {why, {}, std::move(reason), std::move(origin)};
}

} // namespace

Error factor_error(const MlaConfig& config, std::string_view why) {
  const Origin& origin = config.rope.factor.origin;
  const bool null = origin.kind == Origin::Kind::null;
  Position position = origin.position;
  std::string pointer = null ? origin.pointer : config.rope.container_pointer + "/factor";
  if (position.line == 0 && config.document) {
    const json::Value root = config.document->root();
    position = json::resolve(root, config.rope.container_pointer).value_or(root).position();
  }
  return Error{ErrorKind::schema,
               fmt::format("rope type \"{}\" needs a factor, but {} ({})",
                           config.rope.type.value_or("default"),
                           null ? "it is null" : "there is none", why),
               config.source, std::move(pointer), position};
}

bool mistral_switch_is_on(const MlaConfig& config) {
  const model::Sourced<bool>& apply = config.rope.apply_scaling;
  return config.format == Format::mistral
             ? apply.value_or(true)
             : config.family->rule == ScaleRule::mistral && apply.value_or(false);
}

Magnitude magnitude_of(const MlaConfig& config) {
  const model::Rope& rope = config.rope;
  const std::string type = rope.type.value_or("default");
  const double all_dim = rope.mscale_all_dim.value_or(0);
  if (config.attention == AttentionKind::shared_kv) {
    return closed(Closed::shared_kv,
                  "one shared K = V head of width head_dim: mscale never applies",
                  family_row(config));
  }
  if (config.attention == AttentionKind::mla_nope) {
    return closed(Closed::nope, "nothing is rotated, so there is no YaRN correction",
                  family_row(config));
  }
  if (config.family->rule == ScaleRule::never) {
    return closed(Closed::family, "this family never applies mscale", family_row(config));
  }
  if (type == "default") {
    return closed(Closed::rope_type, "rope type \"default\": no YaRN correction", rope.type.origin);
  }
  if (config.family->rule == ScaleRule::deepseek_yarn && type != "deepseek_yarn") {
    return closed(Closed::rope_type,
                  "this family applies mscale only for the rope type \"deepseek_yarn\"",
                  rope.type.origin);
  }
  if (rope.apply_scaling && !*rope.apply_scaling) {
    return closed(Closed::switched_off, "YaRN's magnitude is switched off",
                  rope.apply_scaling.origin);
  }
  if (mistral_switch_is_on(config) && !rope.mscale_all_dim) {
    return {Closed::no, 1.0, "apply_scale is not false, which means mscale_all_dim 1",
            rope.apply_scaling.origin};
  }
  if (all_dim == 0) {
    return closed(Closed::no_weight, "mscale_all_dim is absent or 0", rope.mscale_all_dim.origin);
  }
  return {Closed::no, all_dim, fmt::format("rope type \"{}\" with mscale_all_dim", type),
          rope.mscale_all_dim.origin};
}

} // namespace mla_scale::scale
