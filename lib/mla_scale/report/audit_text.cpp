#include <mla_scale/core/text.hpp>
#include <mla_scale/report/audit_text.hpp>

#include <fmt/format.h>

namespace mla_scale::report {
namespace {

using audit::Finding;
using audit::Severity;

std::string painted(Severity severity, const TerminalStyle& style) {
  const std::string_view name = audit::to_string(severity);
  switch (severity) {
  case Severity::error:
    return style.bad(name);
  case Severity::warning:
    return style.warn(name);
  default:
    return style.dim(name);
  }
}

std::string place(const Finding& finding) {
  const std::string path = escape_control(finding.path);
  return finding.position.line == 0
             ? path
             : fmt::format("{}:{}:{}", path, finding.position.line, finding.position.column);
}

std::string finding_text(const Finding& finding, const TerminalStyle& style) {
  const std::string head = fmt::format("{}: {} {} [{}]: ", style.bold(place(finding)),
                                       painted(finding.severity, style), finding.id, finding.slug);
  std::string text = head + escape_control(finding.message) + "\n";
  const std::string at =
      finding.pointer.empty() ? "" : fmt::format("at {}; ", escape_control(finding.pointer));
  return text + style.dim(fmt::format("  {}see mla-scale explain {}", at, finding.id)) + "\n";
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string stale_text(const audit::StaleEntry& entry) {
  const std::string what =
      fmt::format("{} at {} in {}", escape_control(entry.rule),
                  entry.pointer.empty() ? "the file" : escape_control(entry.pointer),
                  escape_control(entry.path));
  return entry.expired ? fmt::format("baseline: {} was accepted until {} and is still there\n",
                                     what, escape_control(entry.expires))
                       : fmt::format("baseline: {} is no longer found; remove the entry\n", what);
}

} // namespace

std::string audit_text(const audit::Audit& audit, const TerminalStyle& style) {
  std::string text;
  for (const Finding& finding : audit.findings) {
    text += finding_text(finding, style);
  }
  for (const audit::Drift& drift : audit.drift) {
    text += fmt::format("{}: {}: {} was {} in the snapshot and is {} now\n",
                        style.bold(escape_control(drift.path)), style.bad("drift"),
                        escape_control(drift.field), escape_control(drift.expected),
                        escape_control(drift.actual));
  }
  for (const audit::StaleEntry& entry : audit.stale) {
    text += stale_text(entry);
  }
  const audit::Summary& summary = audit.summary;
  text += fmt::format("{}, {} with MLA: {}, {}, {}", counted(summary.files, "file"), summary.models,
                      counted(summary.errors, "error"), counted(summary.warnings, "warning"),
                      counted(summary.notes, "note"));
  if (!audit.drift.empty()) {
    text += fmt::format(", {}", counted(audit.drift.size(), "drifted field"));
  }
  if (summary.accepted > 0) {
    text += fmt::format(", {} accepted by the baseline", summary.accepted);
  }
  return text + "\n";
}

} // namespace mla_scale::report
