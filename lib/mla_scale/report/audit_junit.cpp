#include <mla_scale/core/text.hpp>
#include <mla_scale/report/audit_junit.hpp>
#include <mla_scale/report/drift.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>

#include <map>

namespace mla_scale::report {
namespace {

using audit::Finding;

/// Counts and testcases of one testsuite.
struct Suite {
  std::size_t tests = 0;
  std::size_t failures = 0;
  std::size_t errors = 0;
  std::size_t skipped = 0;
  std::string cases;

  /// `body` is what stands inside the testcase; empty for one that passes without a word.
  void add(const std::string& suite, std::string_view name, const std::string& body) {
    ++tests;
    cases +=
        fmt::format("    <testcase classname=\"{}\" name=\"{}\"", xml_text(suite), xml_text(name));
    cases += body.empty() ? "/>\n" : ">\n" + body + "    </testcase>\n";
  }
};

void add_finding(Suite& suite, const Finding& finding, std::optional<audit::Severity> fail_on) {
  const std::string text =
      xml_text(fmt::format("{}: {} at {}: {}", place(finding.path, finding.position),
                           audit::to_string(finding.severity), finding.pointer, finding.message));
  const std::string name = fmt::format("{} {}{}{}", finding.id, finding.slug,
                                       finding.pointer.empty() ? "" : " at ", finding.pointer);
  const bool input = finding.id.starts_with("MLA9");
  const bool fails = fail_on && finding.severity >= *fail_on;
  suite.errors += input ? 1U : 0U;
  suite.failures += !input && fails ? 1U : 0U;
  const std::string_view tag = input ? "error" : "failure";
  suite.add(finding.relative_path, name,
            input || fails ? fmt::format("      <{} message=\"{}\" type=\"{}\">{}</{}>\n", tag,
                                         xml_text(finding.message), finding.id, text, tag)
                           : fmt::format("      <system-out>{}</system-out>\n", text));
}

void add_drift(Suite& suite, const audit::Drift& drift) {
  ++suite.failures;
  const std::string sentence = drift_sentence(drift);
  suite.add(drift.relative_path, "drift of " + drift.field,
            fmt::format("      <failure message=\"{}\" type=\"drift\">{}: {}</failure>\n",
                        xml_text(sentence), xml_text(place(drift.path, drift.position)),
                        xml_text(sentence)));
}

/// A model that has no finding still has a testcase, so that its absence would be seen.
void add_silent_models(const audit::Audit& audit, std::map<std::string, Suite>& suites) {
  for (const audit::AuditedModel& model : audit.models) {
    Suite& suite = suites[model.relative_path];
    if (suite.tests != 0) {
      continue;
    }
    const bool skipped = model.outcome == audit::AuditedModel::Outcome::not_mla;
    suite.skipped += skipped ? 1U : 0U;
    suite.add(model.relative_path, "audit",
              skipped ? fmt::format("      <skipped message=\"{}\"/>\n", xml_text(model.reason))
                      : "");
  }
}

} // namespace

std::string audit_junit(const audit::Audit& audit, std::optional<audit::Severity> fail_on) {
  std::map<std::string, Suite> suites;
  for (const Finding& finding : audit.findings) {
    add_finding(suites[finding.relative_path], finding, fail_on);
  }
  for (const audit::Drift& drift : audit.drift) {
    add_drift(suites[drift.relative_path], drift);
  }
  add_silent_models(audit, suites);
  Suite total;
  std::string text;
  for (const auto& [path, suite] : suites) {
    total.tests += suite.tests;
    total.failures += suite.failures;
    total.errors += suite.errors;
    total.skipped += suite.skipped;
    text += fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" "
                        "skipped=\"{}\">\n{}  </testsuite>\n",
                        xml_text(path), suite.tests, suite.failures, suite.errors, suite.skipped,
                        suite.cases);
  }
  return fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                     "<testsuites name=\"mla-scale audit\" tests=\"{}\" failures=\"{}\" "
                     "errors=\"{}\" skipped=\"{}\">\n{}</testsuites>\n",
                     total.tests, total.failures, total.errors, total.skipped, text);
}

} // namespace mla_scale::report
