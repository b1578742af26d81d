#include <mla_scale/audit/subject.hpp>

#include <algorithm>

namespace mla_scale::audit {
namespace {

constexpr std::string_view k_major_engines[] = {"vllm", "transformers", "sglang", "tensorrt-llm",
                                                "llama.cpp"};

} // namespace

std::string_view to_string(Severity severity) {
  switch (severity) {
  case Severity::note:
    return "note";
  case Severity::warning:
    return "warning";
  case Severity::error:
    return "error";
  }
  return "error";
}

std::optional<Severity> severity_from(std::string_view name) {
  for (const Severity severity : {Severity::note, Severity::warning, Severity::error}) {
    if (to_string(severity) == name) {
      return severity;
    }
  }
  return std::nullopt;
}

std::optional<json::Value> Subject::key(std::string_view name) const {
  return scope ? scope->find(name) : std::nullopt;
}

std::optional<json::Value> Subject::rope_key(std::string_view name) const {
  return dictionary ? dictionary->find(name) : std::nullopt;
}

bool Subject::takes_mscale() const {
  return config.attention == model::AttentionKind::mla
         && config.family->rule != model::ScaleRule::never;
}

const std::vector<engines::EngineValue>& Subject::major_engines() const {
  if (m_major_engines.empty()) {
    for (const std::string_view id : k_major_engines) {
      m_major_engines.push_back(
          engines::evaluate(*engines::find_engine_rule(id), config, scale ? &*scale : nullptr));
    }
  }
  return m_major_engines;
}

bool Subject::misses_original_for_vllm() const {
  const std::vector<engines::EngineValue>& values = major_engines();
  return std::any_of(values.begin(), values.end(), [](const engines::EngineValue& value) {
    return value.rule->id == "vllm"
           && value.error == "KeyError: 'original_max_position_embeddings'";
  });
}

Subject make_subject(const model::MlaConfig& config) {
  Subject subject(config);
  if (Result<scale::SoftmaxScale> derived = scale::derive_softmax_scale(config)) {
    subject.scale = *std::move(derived);
  }
  if (config.document) {
    subject.scope = json::resolve(config.document->root(), config.text_pointer);
    if (config.rope.has_dictionary()) {
      subject.dictionary = json::resolve(config.document->root(), config.rope.container_pointer);
    }
  }
  return subject;
}

void Hits::at(const model::Origin& origin, std::string message) {
  m_hits.push_back({std::move(message), origin.pointer, origin.position, {}});
}

void Hits::at(const json::Value& value, std::string message) {
  m_hits.push_back({std::move(message), value.pointer(), value.position(), {}});
}

void Hits::at_rope(std::string message) {
  const Position where = m_subject->dictionary ? m_subject->dictionary->position() : Position{};
  m_hits.push_back({std::move(message), m_subject->config.rope.container_pointer, where, {}});
}

void Hits::at_model_type(std::string message) {
  if (const model::Sourced<std::string>& name = m_subject->config.model_type) {
    at(name.origin, std::move(message));
  } else {
    at_missing_key("model_type", std::move(message));
  }
}

void Hits::at_missing_rope_key(std::string_view key, std::string message) {
  const bool binary = m_subject->config.format == model::Format::gguf;
  at_rope(std::move(message));
  m_hits.back().pointer += (binary ? "." : "/") + std::string(key);
}

void Hits::at_missing_key(std::string_view key, std::string message) {
  const Position where = m_subject->scope ? m_subject->scope->position() : Position{};
  const std::string pointer = m_subject->config.format == model::Format::gguf
                                  ? m_subject->config.gguf.architecture + "." + std::string(key)
                                  : m_subject->config.text_pointer + "/" + std::string(key);
  m_hits.push_back({std::move(message), pointer, where, {}});
}

} // namespace mla_scale::audit
