#include <mla_scale/core/text.hpp>
#include <mla_scale/report/audit_github.hpp>
#include <mla_scale/report/drift.hpp>

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

/// "file=PATH,line=1,col=2,", or nothing for standard input: GitHub looks for the file by its path
/// below the checkout, without "./".
std::string location(std::string_view path, const Position& position) {
  if (path == "-") {
    return {};
  }
  const std::string file = property(path.substr(path.starts_with("./") ? 2 : 0));
  return position.line == 0
             ? fmt::format("file={},", file)
             : fmt::format("file={},line={},col={},", file, position.line, position.column);
}

std::string_view command(audit::Severity severity) {
  return severity == audit::Severity::note ? "notice" : audit::to_string(severity);
}

} // namespace

std::string audit_github(const audit::Audit& audit) {
  std::string text;
  for (const audit::Finding& finding : audit.findings) {
    text += fmt::format("::{} {}title={} {}::{}\n", command(finding.severity),
                        location(finding.path, finding.position), finding.id, finding.slug,
                        message(finding.message));
  }
  for (const audit::Drift& drift : audit.drift) {
    text += fmt::format("::error {}title=drift::{}\n", location(drift.path, drift.position),
                        message(drift_sentence(drift)));
  }
  for (const audit::StaleEntry& entry : audit.stale) {
    text += fmt::format("::{} title=baseline::{}\n", entry.expired ? "warning" : "notice",
                        message(stale_sentence(entry)));
  }
  for (const std::string& sentence : sentences(audit.engine_changes)) {
    text += fmt::format("::notice title=snapshot::{}\n", message(sentence));
  }
  return text;
}

} // namespace mla_scale::report
