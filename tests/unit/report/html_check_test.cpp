#include "html_pages.hpp"

#include <mla_scale/report/check_report.hpp>

#include <cmath>
#include <limits>

using namespace mla_scale;
using namespace mla_scale::report;

namespace {

/// A mismatch with every text that comes from a file or from elsewhere as hostile as can be.
CheckReport hostile_report() {
  CheckReport report;
  report.model.model.path = k_hostile;
  report.repro = "mla-scale check " + k_hostile;
  scale::SoftmaxScale scale;
  scale.disputed = true;
  scale.deciding_key = k_hostile;
  scale.alternatives = {{0.25, k_hostile, {k_hostile, "vllm"}}};
  scale.derivation = {
      {"factor",
       k_hostile,
       40.0,
       {model::Origin::Kind::read, "a/" + k_hostile, k_hostile, {17, 15}, ""}},
      {"mscale", "f", std::nullopt, {model::Origin::Kind::absent, "", "", {}, ""}},
      {"theta", "f", 1e4, {model::Origin::Kind::defaulted, "", "", {}, k_hostile}},
      {"prefill", "base * g^2", 0.125, {model::Origin::Kind::derived, "", "", {}, ""}}};
  scale.beside = {k_hostile};
  report.model.scale = scale;

  check::Check& check = report.check;
  check.softmax_scale = 0.125;
  check.capture.files = {k_hostile};
  check.capture.tensors = {{k_hostile, "q", k_hostile, k_hostile, {2, 3}},
                           {"spare", "", "f", "F32", {}}};
  check.capture.layout = k_hostile;
  check.capture.level = k_hostile;
  check.capture.missing = {k_hostile};
  check.capture.heads = 2;
  check.heads = {0, 1};
  compare::Judgement& judgement = check.judgement;
  judgement.verdict = compare::Verdict::mismatch;
  judgement.reasons = {k_hostile};
  judgement.advice = {k_hostile};
  judgement.notes = {k_hostile, "precision.bf16_logits"};
  for (const char* name : {"out", "lse"}) {
    compare::TensorComparison tensor;
    tensor.name = name;
    tensor.status = compare::Status::mismatch;
    tensor.sums.count = 10;
    tensor.sums.error_squared = 1.0;
    tensor.sums.expected_squared = 4.0;
    tensor.by_head = {{0, 0, 0.5, 0.01, 50.0, 0, true}, {1, 1, 0.01, 0.01, 1.0, 0, false}};
    tensor.by_position = {{0, 0, 0.25, 0.01, 25.0, 0, true}};
    tensor.map = {50.0, 1.0};
    tensor.worst = {{{3, 1, -1}, 2.5, 1.5}};
    judgement.tensors.push_back(tensor);
  }
  compare::ScaleFit fit;
  fit.softmax_scale = 0.0625;
  fit.standard_error = 1e-4;
  fit.ratio = 0.5;
  fit.from = "lse";
  fit.converged = true;
  fit.rows = 7;
  fit.by_head = {{0, 0.0624, 1e-4, true}, {1, 0.0626, 1e-4, true}};
  judgement.fit = fit;
  judgement.rivals = {{{k_hostile, 0.0625}, true, 1e3}, {{"scale.unit", 1.0}, true, 1e4}};

  check.diagnosis.findings = {{"scale.half",
                               k_hostile,
                               {{"softmax_scale", 0.0625}, {"word", k_hostile}},
                               0.93,
                               k_hostile,
                               k_hostile}};
  check.diagnosis.considered = {{{"scale.half", k_hostile}, k_hostile, 0.93, 0.04, true},
                                {{}, "", 29.2, 0.0, false}};
  check.diagnosis.not_identifiable = {{k_hostile, k_hostile, k_hostile}};
  return report;
}

} // namespace

TEST_CASE("whatever names a config and a capture hold, a page stays a page", "[report]") {
  const std::string page = check_html(hostile_report());
  const Markup markup = checked_page(page);
  CHECK(page.find("<script>alert") == std::string::npos);
  CHECK(says(markup, "title", "mismatch: " + k_shown));
  CHECK(says(markup, "pre", "mla-scale check " + k_shown));
  CHECK(says(markup, "li", k_shown));
  CHECK(says(markup, "td", k_shown));
}

TEST_CASE("verdict and diagnosis come first, then the numbers behind them", "[report]") {
  const Markup markup = checked_page(check_html(hostile_report()));
  std::vector<std::string> headings;
  for (const MarkupElement& element : markup.elements) {
    if (element.name == "h1" || element.name == "h2") {
      headings.push_back(element.text);
    }
  }
  CHECK(headings
        == std::vector<std::string>{"scale.half: " + k_shown, "Diagnosis",
                                    "Softmax scale, measured", "Error against the reference",
                                    "Softmax scale, derived from the config", "Capture",
                                    "Reproduce"});
  CHECK(
      says(markup, "p",
           "It computes with softmax scale 0.0625 ± 0.0001, fitted from lse, where the model wants "
           "0.125: 0.5 times what it should be."));
}

TEST_CASE("the page has what the result has", "[report]") {
  const Markup markup = checked_page(check_html(hostile_report()));
  CHECK(says(markup, "dd", "0.125"));
  // Head by head, and 0.0625 less 0.0625 in standard errors of 1e-4; 1 is (1 - 0.0625) / 1e-4 away.
  CHECK(says(markup, "td", "0.0624"));
  CHECK(says(markup, "td", "+0"));
  CHECK(says(markup, "td", "+9.4e+03"));
  CHECK(says(markup, "td", "+1.5e+03 %"));
  // Errors by head: 0.5 where 0.01 is healthy.
  CHECK(says(markup, "td", "50"));
  // The key of the derivation by file, line and column.
  CHECK(says(markup, "td", k_shown.substr(k_shown.rfind('/') + 1) + ":17:15 " + k_shown));
  CHECK(says(markup, "td", "default of " + k_shown));
  CHECK(says(markup, "td", "not in the file"));
  // Candidates of the diagnosis, with the error that each leaves.
  CHECK(says(markup, "td", "29.2"));
  CHECK(says(markup, "th", "as the model wants it"));
  CHECK(says(markup, "td", "not used"));
  CHECK(markup.named("svg").size()
        == 2 + 4 + 1 + 1 + 1 + 8); // maps, plots, heads twice, line, legend
}

TEST_CASE("a capture without anything to compare has a page too", "[report]") {
  CheckReport report;
  report.model.model.path = "model";
  report.repro = "mla-scale check model x";
  report.check.judgement.reasons = {"the capture lacks q"};
  report.check.judgement.advice = {"save q"};
  for (const char* name : {"out", "lse"}) {
    report.check.judgement.tensors.emplace_back();
    report.check.judgement.tensors.back().name = name;
  }
  const Markup markup = checked_page(check_html(report));
  CHECK(says(markup, "h1", "the capture lacks q"));
  CHECK(says(markup, "li", "save q"));
  CHECK(says(markup, "td", "n/a"));
}

TEST_CASE("numbers that are not finite leave the page in order", "[report]") {
  constexpr double k_infinity = std::numeric_limits<double>::infinity();
  for (const double value : {std::nan(""), k_infinity, -k_infinity, 0.0}) {
    CAPTURE(value);
    CheckReport report = hostile_report();
    check::Check& check = report.check;
    check.softmax_scale = value;
    check.judgement.fit->softmax_scale = value;
    check.judgement.fit->standard_error = value;
    check.judgement.fit->by_head[0] = {0, value, value, false};
    check.diagnosis.findings[0].parameters[0].value = value;
    check.judgement.rivals[0].rival.softmax_scale = value;
    compare::TensorComparison& out = check.judgement.tensors[0];
    out.map = {value, 2.0};
    out.by_head[0] = {0, 0, value, value, value, 3, true};
    out.by_position[0] = {0, 0, value, value, value, 3, true};
    checked_page(check_html(report));
  }
}
