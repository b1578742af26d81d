#include <mla_scale/core/text.hpp>
#include <mla_scale/report/audit_github.hpp>

#include <fmt/format.h>

namespace mla_scale::report {
namespace {

std::string percent_encoded(std::string_view text, std::string_view special) {
  std::string encoded;
  for (const char c : escape_control(text)) {
    if (special.find(c) != std::string_view::npos) {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      encoded += c;
    }
  }
  return encoded;
}

std::string message(std::string_view text) {
  return percent_encoded(text, "%");
}

std::string property(std::string_view text) {
  return percent_encoded(text, "%:,");
}

std::string_view command(audit::Severity severity) {
  return severity == audit::Severity::note ? "notice" : audit::to_string(severity);
}

} // namespace

std::string audit_github(const audit::Audit& audit) {
  std::string text;
  for (const audit::Finding& finding : audit.findings) {
    text += fmt::format("::{} file={}", command(finding.severity), property(finding.path));
    if (finding.position.line != 0) {
      text += fmt::format(",line={},col={}", finding.position.line, finding.position.column);
    }
    text += fmt::format(",title={} {}::{}\n", finding.id, finding.slug, message(finding.message));
  }
  for (const audit::Drift& drift : audit.drift) {
    text += fmt::format("::error file={},title=drift::{}\n", property(drift.path),
                        message(fmt::format("{} was {} in the snapshot and is {} now", drift.field,
                                            drift.expected, drift.actual)));
  }
  return text;
}

} // namespace mla_scale::report
