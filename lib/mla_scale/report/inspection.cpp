#include <mla_scale/audit/subject.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/report/inspection.hpp>

#include <fmt/format.h>

namespace mla_scale::report {
namespace {

using model::MlaConfig;

Note at(std::string_view rule, const model::Origin& origin, std::string message) {
  return Note{std::move(message), origin.pointer, origin.position, audit::find_rule(rule)};
}

Note at_rope(std::string_view rule, const MlaConfig& config, std::string message) {
  return Note{std::move(message), config.rope.container_pointer, {}, audit::find_rule(rule)};
}

/// Puts each note where its rule of the audit speaks up; a rule that is silent on this config is
/// not the note's.
void settle(const MlaConfig& config, std::vector<Note>& notes) {
  if (notes.empty()) {
    return;
  }
  const audit::Subject subject = audit::make_subject(config);
  for (Note& note : notes) {
    audit::Hits hits(subject);
    if (note.rule != nullptr) {
      note.rule->check(subject, hits);
    }
    const std::vector<audit::Hit> found = hits.take();
    if (found.empty()) {
      note.rule = nullptr;
    } else {
      note.pointer = found.front().pointer;
      note.position = found.front().position;
    }
  }
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

/// llama.cpp is what GGUF files are made for: where it takes another scale than the model's law,
/// the file is disputed. Its converter and its graph have no part in the law.
void add_llama_cpp(const MlaConfig& config, scale::SoftmaxScale& scale) {
  if (config.format != model::Format::gguf || scale.disputed) {
    return;
  }
  const engines::EngineValue value =
      engines::evaluate(*engines::find_engine_rule("llama.cpp"), config, &scale);
  if (!value.prefill || engines::same_scale(*value.prefill, scale.prefill)) {
    return;
  }
  const model::GgufKeys& gguf = config.gguf;
  scale.disputed = true;
  scale.deciding_key = gguf.attn_factor.value_or(1) != 1
                           ? gguf.attn_factor.origin.pointer
                           : gguf.architecture + ".rope.scaling."
                                 + (config.rope.is_yarn() ? "yarn_log_multiplier" : "type");
  scale.alternatives = {{scale.prefill, "the law of the model's own code", {}},
                        {*value.prefill, value.because, {}}};
}

/// The audit's rule about this dispute.
std::string_view rule_of_dispute(const MlaConfig& config) {
  const model::Rope& rope = config.rope;
  if (config.format == model::Format::gguf) {
    return config.gguf.attn_factor.value_or(1) != 1 ? "MLA263"
           : rope.is_yarn()                         ? "MLA261"
           : config.gguf.scaling_type               ? "MLA264"
                                                    : "MLA260";
  }
  return config.family->rule == model::ScaleRule::mistral ? "MLA320"
         : rope.apply_scaling && !*rope.apply_scaling     ? "MLA309"
                                                          : "MLA308";
}

void add_model_notes(const MlaConfig& config, std::vector<Note>& notes) {
  if (config.family_guessed) {
    Note note =
        at("MLA119", config.model_type.origin,
           fmt::format("model_type {} is not known here: judged by its MLA keys and the {}",
                       config.model_type ? "\"" + *config.model_type + "\"" : "(missing)",
                       config.attention == model::AttentionKind::shared_kv ? "DeepSeek V4 rule"
                                                                           : "DeepSeek rule"));
    notes.push_back(std::move(note));
  }
  if (config.told_by_keys) {
    notes.push_back(
        at({}, config.extras.compress_ratios.origin,
           "compress_ratios and head_dim make this DeepSeek V4 style, whatever its name says"));
  }
  const model::Sourced<std::int64_t>& key = config.dims.qk_head_dim_key;
  if (key && !config.family->reads_qk_head_dim && *key != *config.dims.qk_head_dim) {
    notes.push_back(at("MLA103", key.origin,
                       fmt::format("qk_head_dim {} is not looked at: the width is qk_nope_head_dim "
                                   "+ qk_rope_head_dim = {}",
                                   *key, *config.dims.qk_head_dim)));
  }
  if (config.format == model::Format::gguf
      && config.model_type.origin.kind == model::Origin::Kind::derived) {
    notes.push_back(Note{config.model_type.origin.reason, "general.architecture", {}});
  }
}

void add_rope_notes(const MlaConfig& config, std::vector<Note>& notes) {
  const model::Rope& rope = config.rope;
  if (rope.containers_differ) {
    notes.push_back(at_rope("MLA202", config,
                            "rope_scaling and rope_parameters say different things; rope_scaling "
                            "is taken, as transformers 5 does"));
  }
  if (rope.types_differ()) {
    notes.push_back(at("MLA201", rope.type_key.origin,
                       fmt::format("type \"{}\" and rope_type \"{}\" differ; rope_type is taken, "
                                   "as transformers 5 does",
                                   *rope.type_key, *rope.rope_type_key)));
  }
  if (rope.theta_inside && rope.theta_outside && *rope.theta_inside != *rope.theta_outside) {
    notes.push_back(at("MLA230", rope.theta_outside.origin,
                       fmt::format("rope_theta is {} here and {} in {}; the one inside is taken",
                                   format_number(*rope.theta_outside),
                                   format_number(*rope.theta_inside), rope.container)));
  }
  if (config.format != model::Format::huggingface || !rope.has_dictionary()) {
    return;
  }
  if (!rope.type_key && !rope.rope_type_key && rope.factor) {
    notes.push_back(at_rope("MLA206", config,
                            fmt::format("{} has a factor but neither type nor rope_type: read as "
                                        "\"default\", as transformers 5 does",
                                        rope.container)));
  }
  if (rope.rotated && rope.is_yarn() && !rope.original_max_position_embeddings
      && config.dims.max_position_embeddings) {
    notes.push_back(
        at_rope("MLA224", config,
                fmt::format("YaRN without original_max_position_embeddings: its frequencies take "
                            "max_position_embeddings {}, as transformers 5 does",
                            *config.dims.max_position_embeddings)));
  }
}

/// The conflicts that decide which value was taken; `audit` has the full list of rules.
std::vector<Note> notes_of(const MlaConfig& config, const scale::SoftmaxScale& scale) {
  std::vector<Note> notes;
  add_model_notes(config, notes);
  add_rope_notes(config, notes);
  if (scale.disputed) {
    const model::Rope& rope = config.rope;
    const model::Origin& origin = rope.apply_scaling ? rope.apply_scaling.origin : rope.type.origin;
    notes.push_back(Note{fmt::format("engines disagree about this scale; the key that decides is "
                                     "{}",
                                     scale.deciding_key),
                         scale.deciding_key, origin.position,
                         audit::find_rule(rule_of_dispute(config))});
  }
  settle(config, notes);
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
    add_llama_cpp(*config, *scale);
    name_engines(*config, *scale);
    inspection.findings = notes_of(*config, *scale);
    inspection.scale = *std::move(scale);
  }
  return inspection;
}

} // namespace mla_scale::report
