#include <mla_scale/report/begin_report.hpp>
#include <mla_scale/report/inspect_json.hpp>

namespace mla_scale::report {
namespace {

using model::MlaConfig;
using model::Origin;
using model::Sourced;

void write_position(json::Writer& writer, const Position& position) {
  if (position.line == 0) {
    writer.key("line").null().key("column").null();
    return;
  }
  writer.member("line", static_cast<std::uint64_t>(position.line));
  writer.member("column", static_cast<std::uint64_t>(position.column));
}

template <typename T>
void write_field(json::Writer& writer, std::string_view name, const Sourced<T>& field) {
  writer.key(name).value(field.value);
}

void write_dims(json::Writer& writer, const model::Dims& dims) {
  writer.key("dims").begin_object();
  write_field(writer, "num_attention_heads", dims.num_attention_heads);
  write_field(writer, "q_lora_rank", dims.q_lora_rank);
  write_field(writer, "kv_lora_rank", dims.kv_lora_rank);
  write_field(writer, "qk_nope_head_dim", dims.qk_nope_head_dim);
  write_field(writer, "qk_rope_head_dim", dims.qk_rope_head_dim);
  write_field(writer, "v_head_dim", dims.v_head_dim);
  write_field(writer, "qk_head_dim", dims.qk_head_dim);
  write_field(writer, "latent_dim", dims.latent_dim);
  writer.end_object();
}

void write_rope(json::Writer& writer, const MlaConfig& config, const scale::SoftmaxScale& scale) {
  const model::Rope& rope = config.rope;
  writer.key("rope").begin_object();
  write_field(writer, "type", rope.type);
  writer.member("rotated", rope.rotated);
  if (rope.rotated) {
    write_field(writer, "interleaved", rope.interleaved);
  } else {
    writer.key("interleaved").null();
  }
  write_field(writer, "theta", rope.theta);
  write_field(writer, "factor", rope.factor);
  write_field(writer, "original_max_position_embeddings", rope.original_max_position_embeddings);
  write_field(writer, "beta_fast", rope.beta_fast);
  write_field(writer, "beta_slow", rope.beta_slow);
  write_field(writer, "mscale", rope.mscale);
  write_field(writer, "mscale_all_dim", rope.mscale_all_dim);
  write_field(writer, "attention_factor", rope.attention_factor);
  writer.member("cos_sin_factor", scale.cos_sin_factor);
  writer.end_object();
}

void write_origin(json::Writer& writer, const Origin& origin) {
  if (origin.kind == Origin::Kind::read || origin.kind == Origin::Kind::null) {
    writer.key("from").begin_object().member("file", origin.file).member("pointer", origin.pointer);
    write_position(writer, origin.position);
    writer.end_object();
    return;
  }
  writer.member("default", origin.reason.empty() ? std::string("absent") : origin.reason);
}

void write_scale(json::Writer& writer, const scale::SoftmaxScale& scale) {
  writer.key("softmax_scale").begin_object();
  writer.member("prefill", scale.prefill).member("decode", scale.decode).member("base", scale.base);
  writer.member("mscale", scale.mscale).member("disputed", scale.disputed);
  writer.key("alternatives").begin_array();
  for (const scale::Alternative& alternative : scale.alternatives) {
    writer.begin_object().member("value", alternative.value).member("when", alternative.when);
    writer.key("engines").begin_array();
    for (const std::string& engine : alternative.engines) {
      writer.value(engine);
    }
    writer.end_array().end_object();
  }
  writer.end_array();
  writer.key("derivation").begin_array();
  for (const scale::Step& step : scale.derivation) {
    writer.begin_object()
        .member("step", step.step)
        .member("formula", step.formula)
        .member("value", step.value);
    write_origin(writer, step.origin);
    writer.end_object();
  }
  writer.end_array();
  writer.key("beside").begin_array();
  for (const std::string& text : scale.beside) {
    writer.value(text);
  }
  writer.end_array().end_object();
}

void write_cache(json::Writer& writer, const MlaConfig& config) {
  writer.key("kv_cache").begin_object().key("bytes_per_token_per_layer").begin_object();
  for (const scale::CacheBytes& row : scale::cache_bytes(config)) {
    writer.key(row.dtype)
        .begin_object()
        .member("latent", row.latent)
        .member("expanded", row.expanded)
        .end_object();
  }
  writer.end_object().end_object();
}

/// The shape of the audit's findings; without a rule there is no id, slug and help.
void write_findings(json::Writer& writer, const std::string& path,
                    const std::vector<Note>& findings) {
  writer.key("findings").begin_array();
  for (const Note& note : findings) {
    writer.begin_object();
    if (note.rule != nullptr) {
      writer.member("id", note.rule->id).member("slug", note.rule->slug);
    }
    writer.member("severity",
                  to_string(note.rule != nullptr ? note.rule->severity : audit::Severity::note));
    writer.member("message", note.message).member("path", path).member("pointer", note.pointer);
    write_position(writer, note.position);
    if (note.rule != nullptr) {
      writer.member("help", note.rule->action);
    }
    writer.end_object();
  }
  writer.end_array();
}

void write_names(json::Writer& writer, std::string_view format,
                 const Sourced<std::string>& model_type,
                 const std::vector<std::string>& architectures) {
  writer.member("format", format).key("model_type").value(model_type.value);
  writer.key("architectures").begin_array();
  for (const std::string& name : architectures) {
    writer.value(name);
  }
  writer.end_array();
}

void write_config(json::Writer& writer, const MlaConfig& config, const Inspection& inspection) {
  write_names(writer, to_string(config.format), config.model_type, config.architectures);
  writer.key("text_model_type").value(config.text_model_type.value);
  writer.member("family", config.family->id);
  writer.member("attention", to_string(config.attention));
  write_dims(writer, config.dims);
  if (inspection.scale) {
    write_rope(writer, config, *inspection.scale);
    write_scale(writer, *inspection.scale);
  }
  write_cache(writer, config);
  write_findings(writer, config.source, inspection.findings);
}

} // namespace

void write_error(json::Writer& writer, const Error& error) {
  writer.begin_object().member("kind", to_string(error.kind)).member("message", error.message);
  writer.member("pointer", error.pointer);
  write_position(writer, error.position);
  writer.end_object();
}

void write_model(json::Writer& writer, const Inspection& inspection) {
  writer.member("path", inspection.model.path).member("source", inspection.model.source);
  if (const model::NotMla* other = inspection.model.not_mla()) {
    write_names(writer, to_string(other->format), other->model_type, other->architectures);
    writer.member("attention", "none").member("reason", other->reason);
    return;
  }
  if (const MlaConfig* config = inspection.model.config()) {
    write_config(writer, *config, inspection);
  }
  if (inspection.error) {
    writer.key("error");
    write_error(writer, *inspection.error);
  }
}

InspectJson::InspectJson(std::size_t models) {
  begin_report(m_writer);
  m_writer.key("models").begin_array();
  m_models.resize(models, m_writer.for_element());
}

void InspectJson::add(std::size_t index, const Inspection& inspection) {
  json::Writer& writer = m_models[index];
  writer.begin_object();
  write_model(writer, inspection);
  writer.end_object();
}

std::string InspectJson::finish() {
  for (json::Writer& model : m_models) {
    m_writer.append(model);
    model = {};
  }
  m_writer.end_array().end_object();
  return m_writer.finish();
}

std::string inspect_json(std::span<const Inspection> inspections) {
  InspectJson report(inspections.size());
  for (std::size_t i = 0; i < inspections.size(); ++i) {
    report.add(i, inspections[i]);
  }
  return report.finish();
}

} // namespace mla_scale::report
