#include <mla_scale/audit/rule.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/core/version.hpp>
#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/audit_sarif.hpp>
#include <mla_scale/report/drift.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace mla_scale::report {
namespace {

using audit::Finding;

constexpr std::string_view k_drift_id = "drift";
constexpr std::string_view k_schema =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// A path as a URI reference: percent-encoded, with a scheme when it is absolute, without "./".
std::string uri_of(std::string_view path) {
  constexpr std::string_view k_plain = "-._~/!$&'()*+,;=@";
  std::string uri = path.starts_with("/") ? "file://" : "";
  path.remove_prefix(path.starts_with("./") ? 2 : 0);
  for (const char c : path) {
    const bool alphanumeric =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (alphanumeric || k_plain.find(c) != std::string_view::npos) {
      uri += c;
    } else {
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return uri;
}

void write_text(json::Writer& writer, std::string_view key, std::string_view text) {
  writer.key(key).begin_object().member("text", text).end_object();
}

/// The ids that results refer to, sorted; their places are the ruleIndex.
std::vector<std::string> used_rules(const audit::Audit& audit) {
  std::vector<std::string> ids;
  for (const Finding& finding : audit.findings) {
    ids.push_back(finding.id);
  }
  if (!audit.drift.empty()) {
    ids.emplace_back(k_drift_id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

void write_rule(json::Writer& writer, const std::string& id) {
  writer.begin_object();
  writer.member("id", id);
  if (const audit::Rule* rule = audit::find_rule(id)) {
    writer.member("name", rule->slug);
    write_text(writer, "shortDescription", rule->title);
    write_text(writer, "fullDescription", rule->why);
    write_text(writer, "help",
               fmt::format("{} Example: {}. What to do: {}. Sources: {}.", rule->why, rule->example,
                           rule->action, rule->sources));
    writer.key("defaultConfiguration").begin_object();
    writer.member("level", audit::to_string(rule->severity)).end_object();
  } else {
    write_text(writer, "shortDescription", "a model differs from the snapshot");
    write_text(writer, "help",
               "Undo the edit, or write the snapshot anew with --bless and commit it.");
    writer.key("defaultConfiguration").begin_object().member("level", "error").end_object();
  }
  writer.end_object();
}

void write_location(json::Writer& writer, const std::string& path, const Position& position,
                    const std::string& pointer) {
  writer.key("locations").begin_array().begin_object();
  if (!path.empty() && path != "-") {
    writer.key("physicalLocation").begin_object();
    writer.key("artifactLocation").begin_object().member("uri", uri_of(path)).end_object();
    if (position.line != 0) {
      writer.key("region").begin_object();
      writer.member("startLine", static_cast<std::int64_t>(position.line));
      writer.member("startColumn", static_cast<std::int64_t>(position.column));
      writer.end_object();
    }
    writer.end_object();
  }
  if (!pointer.empty()) {
    writer.key("logicalLocations").begin_array().begin_object();
    writer.member("fullyQualifiedName", pointer).member("kind", "member");
    writer.end_object().end_array();
  }
  writer.end_object().end_array();
}

void write_result(json::Writer& writer, const std::string& id, std::size_t index,
                  std::string_view level, const std::string& message) {
  writer.member("ruleId", id).member("ruleIndex", static_cast<std::int64_t>(index));
  writer.member("level", level);
  write_text(writer, "message", escape_control(message));
}

void write_fingerprint(json::Writer& writer, const std::string& text) {
  writer.key("partialFingerprints").begin_object().member("ruleFilePointer/v1", text).end_object();
}

} // namespace

std::string audit_sarif(const audit::Audit& audit) {
  const std::vector<std::string> ids = used_rules(audit);
  const auto index_of = [&](std::string_view id) {
    return static_cast<std::size_t>(std::lower_bound(ids.begin(), ids.end(), id) - ids.begin());
  };
  json::Writer writer;
  writer.begin_object();
  writer.member("$schema", k_schema).member("version", "2.1.0");
  writer.key("runs").begin_array().begin_object();
  writer.key("tool").begin_object().key("driver").begin_object();
  writer.member("name", "mla-scale").member("version", k_version);
  writer.key("rules").begin_array();
  for (const std::string& id : ids) {
    write_rule(writer, id);
  }
  writer.end_array().end_object().end_object();
  writer.member("columnKind", "unicodeCodePoints");
  writer.key("results").begin_array();
  for (const Finding& finding : audit.findings) {
    writer.begin_object();
    write_result(writer, finding.id, index_of(finding.id), audit::to_string(finding.severity),
                 finding.message);
    write_location(writer, finding.path, finding.position, finding.pointer);
    write_fingerprint(writer,
                      fmt::format("{}:{}:{}", finding.id, finding.relative_path, finding.pointer));
    writer.end_object();
  }
  for (const audit::Drift& drift : audit.drift) {
    writer.begin_object();
    write_result(writer, std::string(k_drift_id), index_of(k_drift_id), "error",
                 drift_sentence(drift));
    write_location(writer, drift.path, drift.position, drift.field);
    write_fingerprint(writer, fmt::format("drift:{}:{}", drift.relative_path, drift.field));
    writer.end_object();
  }
  writer.end_array().end_object().end_array().end_object();
  return writer.finish();
}

} // namespace mla_scale::report
