#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/report/inspection.hpp>

#include <fmt/format.h>

namespace mla_scale::report {
namespace {

using model::MlaConfig;

Note at(const model::Origin& origin, std::string message) {
  return Note{std::move(message), origin.pointer, origin.position};
}

/// Names for each alternative the engines, in their newest state, that take it.
void name_engines(const MlaConfig& config, scale::SoftmaxScale& scale) {
  if (!scale.disputed) {
    return;
  }
  for (const engines::EngineValue& value : engines::evaluate_all(config, &scale)) {
    if (value.rule->id.find('@') != std::string_view::npos || !value.prefill) {
      continue;
    }
    for (scale::Alternative& alternative : scale.alternatives) {
      if (engines::same_scale(*value.prefill, alternative.value)) {
        alternative.engines.emplace_back(value.rule->id);
      }
    }
  }
}

/// The conflicts that decide which value was taken; `audit` has the full list of rules.
std::vector<Note> notes_of(const MlaConfig& config, const scale::SoftmaxScale& scale) {
  std::vector<Note> notes;
  const model::Rope& rope = config.rope;
  if (config.family_guessed) {
    notes.push_back(
        at(config.model_type.origin,
           fmt::format("model_type {} is not known here: judged by its MLA keys and the {}",
                       config.model_type ? "\"" + *config.model_type + "\"" : "(missing)",
                       config.attention == model::AttentionKind::shared_kv ? "DeepSeek V4 rule"
                                                                           : "DeepSeek rule")));
  }
  if (config.told_by_keys) {
    notes.push_back(
        at(config.extras.compress_ratios.origin,
           "compress_ratios and head_dim make this DeepSeek V4 style, whatever its name says"));
  }
  const model::Sourced<std::int64_t>& key = config.dims.qk_head_dim_key;
  if (key && !config.family->reads_qk_head_dim && *key != *config.dims.qk_head_dim) {
    notes.push_back(at(
        key.origin, fmt::format("qk_head_dim {} is not looked at: the width is qk_nope_head_dim + "
                                "qk_rope_head_dim = {}",
                                *key, *config.dims.qk_head_dim)));
  }
  if (config.format == model::Format::gguf
      && config.model_type.origin.kind == model::Origin::Kind::derived) {
    notes.push_back(Note{config.model_type.origin.reason, "general.architecture", {}});
  }
  if (rope.containers_differ) {
    notes.push_back(Note{"rope_scaling and rope_parameters say different things; rope_scaling is "
                         "taken, as transformers 5 does",
                         rope.container_pointer, rope.type.origin.position});
  }
  if (rope.type_key && rope.rope_type_key && *rope.type_key != *rope.rope_type_key) {
    notes.push_back(at(
        rope.rope_type_key.origin,
        fmt::format(
            "type \"{}\" and rope_type \"{}\" differ; rope_type is taken, as transformers 5 does",
            *rope.type_key, *rope.rope_type_key)));
  }
  if (rope.theta_inside && rope.theta_outside && *rope.theta_inside != *rope.theta_outside) {
    notes.push_back(
        at(rope.theta_inside.origin,
           fmt::format("rope_theta is {} here and {} outside; the one inside is taken",
                       format_number(*rope.theta_inside), format_number(*rope.theta_outside))));
  }
  if (rope.has_dictionary() && !rope.type_key && !rope.rope_type_key
      && config.format == model::Format::huggingface && rope.factor) {
    notes.push_back(
        at(rope.factor.origin,
           fmt::format("{} has a factor but neither type nor rope_type: read as \"default\", "
                       "as transformers 5 does",
                       rope.container)));
  }
  if (scale.disputed) {
    const model::Origin& origin = rope.apply_scaling ? rope.apply_scaling.origin : rope.type.origin;
    notes.push_back(
        Note{fmt::format("engines disagree about this scale; the key that decides is {}",
                         scale.deciding_key),
             scale.deciding_key, origin.position});
  }
  return notes;
}

} // namespace

Inspection inspect(model::LoadedModel model) {
  Inspection inspection;
  inspection.model = std::move(model);
  if (const Error* error = inspection.model.error()) {
    inspection.error = *error;
    return inspection;
  }
  if (const MlaConfig* config = inspection.model.config()) {
    Result<scale::SoftmaxScale> scale = scale::derive_softmax_scale(*config);
    if (!scale) {
      inspection.error = scale.error();
      return inspection;
    }
    name_engines(*config, *scale);
    inspection.findings = notes_of(*config, *scale);
    inspection.scale = *std::move(scale);
  }
  return inspection;
}

} // namespace mla_scale::report
