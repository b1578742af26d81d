#include <mla_scale/core/text.hpp>
#include <mla_scale/report/check_report.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mla_scale::report {
namespace {

using compare::Status;
using compare::Verdict;

std::string lines_of(const std::vector<std::string>& texts) {
  std::string lines;
  for (const std::string& text : texts) {
    lines += xml_text(text) + "\n";
  }
  return lines;
}

std::string test_case(std::string_view model, std::string_view name, std::string_view content) {
  const std::string head =
      fmt::format("    <testcase classname=\"{}\" name=\"{}\"", xml_text(model), xml_text(name));
  return content.empty() ? head + "/>\n" : fmt::format("{}>\n{}    </testcase>\n", head, content);
}

std::string outcome(std::string_view element, std::string_view message,
                    const std::vector<std::string>& details) {
  return details.empty() ? fmt::format("      <{} message=\"{}\"/>\n", element, xml_text(message))
                         : fmt::format("      <{0} message=\"{1}\">{2}</{0}>\n", element,
                                       xml_text(message), lines_of(details));
}

/// Each tensor's own are in its test.
std::vector<std::string> reasons_of_no_tensor(const compare::Judgement& judgement) {
  std::vector<std::string> reasons = judgement.reasons;
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    std::erase_if(
        reasons, [&](const std::string& reason) { return reason.starts_with(tensor.name + ": "); });
  }
  return reasons;
}

} // namespace

std::string check_junit(const CheckReport& report) {
  const compare::Judgement& judgement = report.check.judgement;
  const std::string& model = report.model.model.path;
  std::string cases;
  int failures = 0;
  int skipped = 0;
  int tests = 1;
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    std::string content;
    const std::string status(compare::to_string(tensor.status));
    if (compare::is_failure(tensor.status)) {
      ++failures;
      content = outcome("failure", status, tensor.reasons);
    } else if (tensor.status != Status::match) {
      ++skipped;
      content = outcome("skipped", status, {});
    }
    ++tests;
    cases += test_case(model, tensor.name, content);
  }
  std::string verdict;
  if (judgement.verdict == Verdict::mismatch) {
    ++failures;
    std::vector<std::string> details = reasons_of_no_tensor(judgement);
    for (const diagnose::Finding& finding : report.check.diagnosis.findings) {
      details.push_back(fmt::format("{}: {}; {}", finding.id, finding.title, finding.evidence));
    }
    details.push_back(report.repro);
    verdict = outcome("failure", "mismatch", details);
  } else if (judgement.verdict == Verdict::inconclusive) {
    ++skipped;
    verdict =
        outcome("skipped", fmt::format("inconclusive: {}", fmt::join(judgement.reasons, "; ")), {});
  }
  cases += test_case(model, "verdict", verdict);
  return fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
                     "  <testsuite name=\"mla-scale check\" tests=\"{}\" failures=\"{}\" "
                     "errors=\"0\" skipped=\"{}\">\n{}  </testsuite>\n</testsuites>\n",
                     tests, failures, skipped, cases);
}

} // namespace mla_scale::report
