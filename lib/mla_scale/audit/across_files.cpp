#include "across_files.hpp"

#include "weight_checks.hpp"

#include <mla_scale/core/file.hpp>

#include <algorithm>
#include <filesystem>

namespace mla_scale::audit {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_largest_sibling = std::size_t{16} << 20;

/// Collects findings of rules that are not called through the table.
class Findings {
public:
  Findings(const std::string& source, const RuleFilter& filter)
      : m_source(source), m_filter(filter) {}

  void add(std::vector<RuledHit> hits) {
    for (RuledHit& hit : hits) {
      const Rule& rule = *find_rule(hit.rule);
      if (m_filter.allows(rule)) {
        m_findings.push_back(make_finding(rule, std::move(hit.hit), m_source));
      }
    }
  }

  void add_failure(std::string_view rule, const Error& error) {
    add({{rule, Hit{error.message, error.pointer, error.position, error.path}}});
  }

  [[nodiscard]] std::vector<Finding> take() { return std::move(m_findings); }

private:
  const std::string& m_source;
  const RuleFilter& m_filter;
  std::vector<Finding> m_findings;
};

using SiblingCheck = std::vector<RuledHit> (*)(const model::MlaConfig&, const json::Value&);

void check_sibling_file(const model::MlaConfig& config, const fs::path& path, SiblingCheck check,
                        Findings& findings) {
  Result<std::string> text = read_file(path, k_largest_sibling);
  if (!text) {
    findings.add_failure("MLA906", text.error());
    return;
  }
  const Result<json::Document> document = json::Document::parse(*std::move(text), path.string());
  if (!document) {
    findings.add_failure("MLA906", document.error());
    return;
  }
  findings.add(check(config, document->root()));
}

/// True for files that describe the weights beside them; other JSON configs in a directory may be
/// of different models (DeepSeek's inference configs are).
bool describes_directory(const model::MlaConfig& config) {
  const std::string name = fs::path(config.source).filename().string();
  return name == "config.json" || name == "params.json";
}

} // namespace

std::vector<Finding> check_across_files(const std::vector<model::LoadedModel>& models,
                                        std::size_t index, const std::vector<std::string>& names,
                                        const RuleFilter& filter) {
  const model::MlaConfig* config = models[index].config();
  if (config == nullptr || !config->document || !describes_directory(*config)) {
    return {};
  }
  Findings findings(config->source, filter);
  const bool shared = config->attention == model::AttentionKind::shared_kv;
  const bool first = fs::path(config->source).filename() == "config.json";
  for (std::size_t i = 0; i < models.size() && first && !shared; ++i) {
    const model::MlaConfig* other = models[i].config();
    const bool comparable =
        other != nullptr && i != index && other->attention != model::AttentionKind::shared_kv
        && (other->format == model::Format::gguf || describes_directory(*other));
    if (comparable) {
      findings.add(check_sibling_config(*config, *other));
    }
  }
  const fs::path directory = fs::path(config->source).parent_path();
  const auto has = [&](std::string_view name) {
    return std::binary_search(names.begin(), names.end(), name);
  };
  if (first && has("generation_config.json")) {
    check_sibling_file(*config, directory / "generation_config.json", check_generation, findings);
  }
  if (first && has("hf_quant_config.json")) {
    check_sibling_file(*config, directory / "hf_quant_config.json", check_quantization, findings);
  }
  if (!shared && (first || !has("config.json"))) {
    const Result<AttentionWeights> weights = read_attention_weights(directory, names);
    if (weights) {
      findings.add(check_weights(*config, *weights));
    } else {
      findings.add_failure("MLA905", weights.error());
    }
  }
  return findings.take();
}

} // namespace mla_scale::audit
