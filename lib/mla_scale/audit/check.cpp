#include <mla_scale/audit/check.hpp>

#include <fmt/format.h>

namespace mla_scale::audit {
namespace {

std::string_view rule_id_for(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::syntax:
    return "MLA902";
  case ErrorKind::schema:
    return "MLA903";
  case ErrorKind::unsupported:
    return "MLA904";
  default:
    return "MLA901";
  }
}

/// Whether a more specific rule that is on has something to say about the same config.
bool is_explained(const Rule& rule, const Subject& subject, const RuleFilter& filter) {
  std::string_view ids = rule.silent_with;
  while (!ids.empty()) {
    const std::size_t space = ids.find(' ');
    const Rule& specific = *find_rule(ids.substr(0, space));
    Hits hits(subject);
    specific.check(subject, hits);
    if (filter.allows(specific) && !hits.take().empty()) {
      return true;
    }
    ids.remove_prefix(space == std::string_view::npos ? ids.size() : space + 1);
  }
  return false;
}

} // namespace

Finding make_finding(const Rule& rule, Hit hit, const std::string& path) {
  Finding finding;
  finding.id = std::string(rule.id);
  finding.slug = std::string(rule.slug);
  finding.severity = rule.severity;
  finding.message = fmt::format("{}; {}", hit.message, rule.action);
  finding.path = hit.path.empty() ? path : hit.path;
  finding.pointer = std::move(hit.pointer);
  finding.position = hit.position;
  finding.help = std::string(rule.action);
  return finding;
}

std::vector<Finding> check_config(const model::MlaConfig& config, const RuleFilter& filter) {
  std::vector<Finding> findings;
  const Subject subject = make_subject(config);
  for (const Rule& rule : rules()) {
    if (rule.check == nullptr || !filter.allows(rule)) {
      continue;
    }
    Hits hits(subject);
    rule.check(subject, hits);
    std::vector<Hit> found = hits.take();
    if (found.empty() || is_explained(rule, subject, filter)) {
      continue;
    }
    for (Hit& hit : found) {
      findings.push_back(make_finding(rule, std::move(hit), config.source));
    }
  }
  return findings;
}

Finding input_finding(const Error& error) {
  const Rule& rule = *find_rule(rule_id_for(error.kind));
  Finding finding =
      make_finding(rule, Hit{error.message, error.pointer, error.position, {}}, error.path);
  finding.message = error.message; // it says what is wrong with the file, so what to repair
  return finding;
}

} // namespace mla_scale::audit
