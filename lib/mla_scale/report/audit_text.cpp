#include <mla_scale/core/text.hpp>
#include <mla_scale/report/audit_text.hpp>
#include <mla_scale/report/drift.hpp>

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

std::string finding_text(const Finding& finding, const TerminalStyle& style) {
  const std::string at =
      finding.pointer.empty() ? "" : "at " + escape_control(finding.pointer) + "; ";
  return fmt::format(
      "{}: {} {} [{}]: {}\n{}\n", style.bold(place(escape_control(finding.path), finding.position)),
      painted(finding.severity, style), finding.id, finding.slug, escape_control(finding.message),
      style.dim("  " + at + "see mla-scale explain " + finding.id));
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

} // namespace

std::string audit_text(const audit::Audit& audit, const TerminalStyle& style) {
  std::string text;
  for (const Finding& finding : audit.findings) {
    text += finding_text(finding, style);
  }
  for (const audit::Drift& drift : audit.drift) {
    text +=
        fmt::format("{}: {}: {}\n", style.bold(place(escape_control(drift.path), drift.position)),
                    style.bad("drift"), escape_control(drift_sentence(drift)));
  }
  for (const std::string& sentence : sentences(audit.engine_changes)) {
    text += fmt::format("snapshot: {}\n", escape_control(sentence));
  }
  for (const audit::StaleEntry& entry : audit.stale) {
    text += fmt::format("baseline: {}\n", escape_control(stale_sentence(entry)));
  }
  const audit::Summary& summary = audit.summary;
  text += fmt::format("{}, {} with MLA: {}, {}, {}", counted(summary.files, "file"), summary.models,
                      counted(summary.errors, "error"), counted(summary.warnings, "warning"),
                      counted(summary.notes, "note"));
  if (!audit.drift.empty()) {
    text += fmt::format(", {} (if that was meant: --bless)",
                        counted(audit.drift.size(), "drifted field"));
  }
  if (summary.accepted > 0) {
    text += fmt::format(", {} accepted by the baseline", summary.accepted);
  }
  return text + "\n";
}

} // namespace mla_scale::report
