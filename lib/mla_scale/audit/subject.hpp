#pragma once

#include <mla_scale/audit/finding.hpp>
#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/model/mla_config.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::audit {

/// What a rule looks at: one model's config, the JSON behind it and the scale derived from it.
class Subject {
public:
  const model::MlaConfig& config;
  std::optional<scale::SoftmaxScale> scale; ///< empty when it cannot be derived
  std::optional<json::Value> scope;         ///< the object with the attention keys; empty for GGUF
  std::optional<json::Value> dictionary;    ///< the rope dictionary in use, where there is one

  /// What the engines that most people run a model with compute, in the newest state known. Several
  /// rules ask; it is evaluated for the first.
  [[nodiscard]] const std::vector<engines::EngineValue>& major_engines() const;
  /// Member of the scope or of the rope dictionary.
  [[nodiscard]] std::optional<json::Value> key(std::string_view name) const;
  [[nodiscard]] std::optional<json::Value> rope_key(std::string_view name) const;
  /// True for a model whose law multiplies by g(factor, mscale_all_dim)^2 when the keys say so.
  [[nodiscard]] bool takes_mscale() const;
  /// True where vLLM's DeepSeek classes index an original length that is neither in the dictionary
  /// nor filled in by transformers 5, which does so for yarn, llama3 and longrope.
  [[nodiscard]] bool misses_original_for_vllm() const;
  [[nodiscard]] bool is_huggingface() const { return config.format == model::Format::huggingface; }
  [[nodiscard]] bool is_family(std::string_view id) const { return config.family->id == id; }

private:
  friend Subject make_subject(const model::MlaConfig& config);
  explicit Subject(const model::MlaConfig& of) : config(of) {}

  mutable std::vector<engines::EngineValue> m_major_engines;
};

/// Builds what rules look at. `config` must outlive it.
[[nodiscard]] Subject make_subject(const model::MlaConfig& config);

/// What a rule found, before the engine adds its id and severity.
struct Hit {
  std::string message;
  std::string pointer;
  Position position;
  std::string path; ///< empty: the config itself
};

/// Collects the hits of one rule on one model.
class Hits {
public:
  explicit Hits(const Subject& subject) : m_subject(&subject) {}

  /// At a value that was read, or at the file when it was not.
  void at(const model::Origin& origin, std::string message);
  void at(const json::Value& value, std::string message);
  /// At the rope dictionary as a whole.
  void at_rope(std::string message);
  /// At the outermost model_type, or where it is missing.
  void at_model_type(std::string message);
  /// At a key that is missing from the rope dictionary, or from the attention scope.
  void at_missing_rope_key(std::string_view key, std::string message);
  void at_missing_key(std::string_view key, std::string message);
  /// Anywhere else, for example in another file.
  void add(Hit hit) { m_hits.push_back(std::move(hit)); }

  [[nodiscard]] std::vector<Hit> take() { return std::move(m_hits); }

private:
  const Subject* m_subject;
  std::vector<Hit> m_hits;
};

} // namespace mla_scale::audit
