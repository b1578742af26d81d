#include <mla_scale/diagnose/findings.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

namespace mla_scale::diagnose {

namespace {

Finding finding_of(const Part& part, const Explanation& explanation, std::string where) {
  Finding finding;
  finding.id = part.id;
  const auto* hypothesis = find_hypothesis(part.id);
  finding.title = hypothesis != nullptr ? std::string(hypothesis->title) : part.id;
  finding.see = hypothesis != nullptr ? std::string(hypothesis->look_at) : "";
  finding.parameters = part.parameters;
  const auto& score = explanation.score;
  finding.residual_ratio = score.out_ratio > 0.0 ? score.out_ratio : score.lse_ratio;
  finding.evidence = part.evidence;
  if (score.out_ratio > 0.0) {
    finding.evidence +=
        fmt::format("; out within {:.2f} of a healthy kernel's rounding over {} rows",
                    score.out_ratio, score.rows);
  }
  if (!explanation.lse_text.empty()) {
    finding.evidence += fmt::format("; {} within {:.2f}", explanation.lse_text, score.lse_ratio);
  } else if (!explanation.lse_explained) {
    finding.evidence += "; lse is not explained";
  }
  finding.evidence += where;
  return finding;
}

} // namespace

void append_findings(const Explanation& explanation, const std::string& where, Report& report) {
  const auto append = [&](const Part& part) {
    const bool known = std::any_of(report.findings.begin(), report.findings.end(),
                                   [&](const Finding& finding) { return finding.id == part.id; });
    if (!known) {
      report.findings.push_back(finding_of(part, explanation, where));
    }
  };
  for (const auto& part : explanation.candidate.parts) {
    append(part);
  }
  for (const auto& part : explanation.lse_parts) {
    append(part);
  }
}

void append_ties(const Expectation& expectation, Report& report) {
  const auto first = report.findings.front();
  if (!first.id.starts_with("scale.") || first.id == "scale.other") {
    return;
  }
  const auto found = std::find_if(first.parameters.begin(), first.parameters.end(),
                                  [](const auto& one) { return one.name == "softmax_scale"; });
  const double* value =
      found == first.parameters.end() ? nullptr : std::get_if<double>(&found->value);
  for (const auto& named : scale_candidates(expectation)) {
    if (value == nullptr || named.id == first.id || std::abs(named.value / *value - 1.0) > 1e-9) {
      continue;
    }
    const auto* hypothesis = find_hypothesis(named.id);
    auto tie = first;
    tie.id = named.id;
    tie.title = std::string(hypothesis->title);
    tie.see = std::string(hypothesis->look_at);
    for (auto& parameter : tie.parameters) {
      if (parameter.name == "formula") {
        parameter.value = named.formula;
      }
    }
    tie.evidence = fmt::format("the same number as {} in this model: no capture can tell them "
                               "apart, only the code; {}",
                               first.id, first.evidence);
    report.findings.push_back(std::move(tie));
  }
}

void note_precision(const Explanation& expected, bool bf16, Report& report) {
  if (report.healthy && expected.score.coarseness >= 0.35) {
    const auto* hypothesis = find_hypothesis("precision.bf16_logits");
    report.notes.push_back(
        {"precision.bf16_logits",
         std::string(hypothesis->title),
         {{"coarseness", expected.score.coarseness}},
         expected.score.fine_ratio,
         fmt::format(
             "error {:.2g} times that of a kernel with float32 logits, as logits rounded to "
             "{} give",
             expected.score.fine_ratio, bf16 ? "bf16" : "the dtype"),
         std::string(hypothesis->look_at)});
  }
}

} // namespace mla_scale::diagnose
