#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/audit_json.hpp>
#include <mla_scale/report/begin_report.hpp>

namespace mla_scale::report {
namespace {

std::optional<std::int64_t> known(std::size_t number) {
  return number == 0 ? std::nullopt : std::optional(static_cast<std::int64_t>(number));
}

void write_finding(json::Writer& writer, const audit::Finding& finding) {
  writer.begin_object();
  writer.member("id", finding.id);
  writer.member("slug", finding.slug);
  writer.member("severity", audit::to_string(finding.severity));
  writer.member("message", finding.message);
  writer.member("path", finding.path);
  writer.member("pointer", finding.pointer);
  writer.member("line", known(finding.position.line));
  writer.member("column", known(finding.position.column));
  writer.member("help", finding.help);
  writer.end_object();
}

void write_drift(json::Writer& writer, const audit::Drift& drift) {
  writer.begin_object();
  writer.member("path", drift.path);
  writer.member("field", drift.field);
  audit::write_scalar(writer.key("expected"), drift.expected);
  audit::write_scalar(writer.key("actual"), drift.actual);
  writer.member("line", known(drift.position.line));
  writer.member("column", known(drift.position.column));
  writer.end_object();
}

void write_engine_changes(json::Writer& writer, const audit::EngineChanges& changes) {
  const auto list = [&](std::string_view key, const std::vector<std::string>& engines) {
    writer.key(key).begin_array();
    for (const std::string& engine : engines) {
      writer.value(engine);
    }
    writer.end_array();
  };
  writer.key("engine_changes").begin_object();
  list("added", changes.added);
  list("gone", changes.gone);
  writer.end_object();
}

void write_stale(json::Writer& writer, const audit::StaleEntry& entry) {
  writer.begin_object();
  writer.member("rule", entry.rule);
  writer.member("path", entry.path);
  writer.member("pointer", entry.pointer);
  writer.member("reason", entry.reason);
  writer.key("expires");
  entry.expires.empty() ? writer.null() : writer.value(entry.expires);
  writer.member("status", entry.expired ? "expired" : "unmatched");
  writer.end_object();
}

void write_summary(json::Writer& writer, const audit::Summary& summary) {
  const auto count = [&](std::string_view name, std::size_t number) {
    writer.member(name, static_cast<std::int64_t>(number));
  };
  writer.key("summary").begin_object();
  count("files", summary.files);
  count("models", summary.models);
  count("not_mla", summary.not_mla);
  count("failed", summary.failed);
  count("errors", summary.errors);
  count("warnings", summary.warnings);
  count("notes", summary.notes);
  count("accepted", summary.accepted);
  writer.end_object();
}

} // namespace

std::string audit_json(const audit::Audit& audit) {
  json::Writer writer;
  begin_report(writer);
  writer.key("findings").begin_array();
  for (const audit::Finding& finding : audit.findings) {
    write_finding(writer, finding);
  }
  writer.end_array();
  writer.key("drift").begin_array();
  for (const audit::Drift& drift : audit.drift) {
    write_drift(writer, drift);
  }
  writer.end_array();
  write_engine_changes(writer, audit.engine_changes);
  writer.key("baseline").begin_array();
  for (const audit::StaleEntry& entry : audit.stale) {
    write_stale(writer, entry);
  }
  writer.end_array();
  write_summary(writer, audit.summary);
  writer.end_object();
  return writer.finish();
}

} // namespace mla_scale::report
