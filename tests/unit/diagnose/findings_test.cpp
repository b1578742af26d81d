#include "by_hand.hpp"
#include "diagnosed.hpp"

#include <mla_scale/diagnose/answer.hpp>
#include <mla_scale/diagnose/considered.hpp>
#include <mla_scale/diagnose/findings.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>

#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// What a report says of explanations that are given.

using namespace mla_scale;
using by_hand::explanation;
using simulator::all_of;

namespace {

using Ids = std::vector<std::string>;

/// 48^-1/2 of 32 + 16 columns, and 64^-1/2 of 48 + 16; kv_lora_rank 48 so that two names of the
/// same number are among the scales.
diagnose::Expectation with_equal_widths() {
  diagnose::Expectation expectation;
  expectation.geometry = {1, 64, 32, 16, 64};
  expectation.softmax_scale = 1.0 / std::sqrt(48.0);
  return expectation;
}

/// A finding of the scale of v_head_dim or kv_lora_rank, which both are 64.
diagnose::Report of_scale(const std::string& id, double scale) {
  diagnose::Report report;
  diagnose::Finding finding;
  finding.id = id;
  finding.parameters = {{"softmax_scale", scale}, {"formula", std::string("of the finding")}};
  finding.evidence = "its evidence";
  report.findings = {finding};
  return report;
}

/// With no key that any row sees, as a mask that hides all.
diagnose::Mechanism hiding(std::int64_t hidden_row) {
  diagnose::Mechanism mechanism;
  mechanism.scale = 1.0;
  mechanism.bend = [hidden_row](const diagnose::Row& row, std::span<double> logits) {
    if (row.row == hidden_row) {
      logits[0] = diagnose::k_hidden;
    }
  };
  return mechanism;
}

} // namespace

TEST_CASE("a finding says what its hypothesis is, and how well out and lse fit", "[choice]") {
  auto one = explanation("mask.none");
  one.candidate.parts.front().parameters = {{"rows", 3.0}};
  one.score.out_ratio = 0.25;
  one.score.lse_ratio = 0.5;
  one.score.rows = 17;
  one.lse_text = "lse follows";
  diagnose::Report report;
  diagnose::append_findings(one, "; only here", report);
  REQUIRE(report.findings.size() == 1);
  const auto& finding = report.findings.front();
  const auto* hypothesis = diagnose::find_hypothesis("mask.none");
  CHECK(finding.id == "mask.none");
  CHECK(finding.title == hypothesis->title);
  CHECK(finding.see == hypothesis->look_at);
  CHECK(simulator::number(finding, "rows") == 3.0);
  CHECK(finding.residual_ratio == 0.25);
  CHECK(finding.evidence
        == "evidence of mask.none; out within 0.25 of a healthy kernel's rounding over 17 rows; "
           "lse follows within 0.50; only here");
}

TEST_CASE("a finding of lse alone is as near as lse is", "[choice]") {
  auto one = explanation("scale.unit");
  one.score.out_ratio = 0.0;
  one.score.lse_ratio = 0.75;
  one.lse_text = "lse follows";
  diagnose::Report report;
  diagnose::append_findings(one, "", report);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings.front().residual_ratio == 0.75);
  CHECK(report.findings.front().evidence == "evidence of scale.unit; lse follows within 0.75");
}

TEST_CASE("a finding says that lse is not explained, and nothing of one that is not there",
          "[choice]") {
  auto one = explanation("mask.none");
  one.lse_explained = false;
  diagnose::Report report;
  diagnose::append_findings(one, "", report);
  CHECK(report.findings.front().evidence
        == "evidence of mask.none; out within 1.00 of a healthy kernel's rounding over 10 rows; "
           "lse is not explained");
  one.lse_explained = true;
  report = {};
  diagnose::append_findings(one, "", report);
  CHECK(report.findings.front().evidence
        == "evidence of mask.none; out within 1.00 of a healthy kernel's rounding over 10 rows");
}

TEST_CASE("every part of an explanation is a finding, of each identifier one", "[choice]") {
  auto one = explanation("scale.unit");
  one.candidate.parts.push_back({"mask.none", {}, ""});
  one.lse_parts = {{"lse.base2", {}, ""}, {"scale.unit", {}, ""}};
  diagnose::Report report;
  diagnose::append_findings(one, "", report);
  CHECK(all_of(report) == Ids{"scale.unit", "mask.none", "lse.base2"});
  diagnose::append_findings(explanation("mask.none"), "", report);
  CHECK(all_of(report) == Ids{"scale.unit", "mask.none", "lse.base2"});
}

TEST_CASE("all names of a scale are told", "[choice]") {
  auto report = of_scale("scale.v_width", 0.125);
  diagnose::append_ties(with_equal_widths(), report);
  // 64^-1/2: v_head_dim, kv_lora_rank, and 48 padded to a power of two.
  REQUIRE(all_of(report) == Ids{"scale.v_width", "scale.kv_lora_width", "scale.padded_width"});
  const auto& tie = report.findings[1];
  const auto* hypothesis = diagnose::find_hypothesis("scale.kv_lora_width");
  CHECK(tie.title == hypothesis->title);
  CHECK(tie.see == hypothesis->look_at);
  CHECK(simulator::text(tie, "formula") == "64^-1/2");
  CHECK(simulator::number(tie, "softmax_scale") == 0.125);
  CHECK(tie.evidence
        == "the same number as scale.v_width in this model: no capture can tell them apart, only "
           "the code; its evidence");
  CHECK(simulator::text(report.findings[0], "formula") == "of the finding");
}

TEST_CASE("a scale has other names where these are its number to nine digits", "[choice]") {
  for (const double sign : {1.0, -1.0}) {
    auto near = of_scale("scale.v_width", 0.125 * (1.0 + sign * 0.9e-9));
    diagnose::append_ties(with_equal_widths(), near);
    CHECK(near.findings.size() == 3);
    auto far = of_scale("scale.v_width", 0.125 * (1.0 + sign * 1.1e-9));
    diagnose::append_ties(with_equal_widths(), far);
    CHECK(far.findings.size() == 1);
  }
}

TEST_CASE("what is no named scale has no other names", "[choice]") {
  for (const std::string id : {"scale.other", "mask.none"}) {
    auto report = of_scale(id, 0.125);
    diagnose::append_ties(with_equal_widths(), report);
    CHECK(report.findings.size() == 1);
  }
  auto report = of_scale("scale.v_width", 0.125);
  report.findings.front().parameters.erase(report.findings.front().parameters.begin());
  diagnose::append_ties(with_equal_widths(), report);
  CHECK(report.findings.size() == 1);
}

TEST_CASE("rounded logits are noted of a healthy kernel that is a third as coarse", "[choice]") {
  auto expected = explanation("");
  expected.score.fine_ratio = 3.25;
  const auto notes = [&](bool healthy, double coarseness, bool bf16) {
    expected.score.coarseness = coarseness;
    diagnose::Report report;
    report.healthy = healthy;
    diagnose::note_precision(expected, bf16, report);
    return report.notes;
  };
  CHECK(notes(true, 0.34, true).empty());
  CHECK(notes(false, 0.35, true).empty());
  const auto found = notes(true, 0.35, true);
  REQUIRE(found.size() == 1);
  CHECK(found.front().id == "precision.bf16_logits");
  CHECK(found.front().residual_ratio == 3.25);
  CHECK(simulator::number(found.front(), "coarseness") == 0.35);
  CHECK(found.front().evidence
        == "error 3.2 times that of a kernel with float32 logits, as logits rounded to bf16 give");
  CHECK(notes(true, 1.0, false).front().evidence.ends_with("as logits rounded to the dtype give"));
}

TEST_CASE("no explanation that holds is no answer", "[choice]") {
  const by_hand::Rows rows({});
  auto expected = explanation("");
  expected.score.out_ratio = 1.8;
  diagnose::Report report;
  CHECK_FALSE(diagnose::answer(rows.context, {expected}, "", report));
  CHECK_FALSE(report.healthy);
  // Out is as expected and lse is not.
  expected = explanation("");
  expected.lse_explained = false;
  CHECK_FALSE(diagnose::answer(rows.context, {expected}, "", report));
  CHECK_FALSE(report.healthy);
  CHECK(report.findings.empty());
}

TEST_CASE("an expectation that holds is the answer healthy", "[choice]") {
  const by_hand::Rows rows({});
  diagnose::Report report;
  CHECK(
      diagnose::answer(rows.context, {explanation("mask.none", 1.0), explanation("")}, "", report));
  CHECK(report.healthy);
  CHECK(report.findings.empty());
}

TEST_CASE("the answer names the best and its rivals; alone it is identified", "[choice]") {
  const by_hand::Rows rows({});
  diagnose::Report report;
  report.not_identifiable = {{"mask.top_left", "", ""}, {"mask.none", "", ""}};
  const auto unlikely = explanation("", -90.0);
  CHECK(diagnose::answer(
      rows.context, {explanation("mask.none"), explanation("mask.window"), unlikely}, "", report));
  CHECK_FALSE(report.healthy);
  CHECK(all_of(report) == Ids{"mask.none", "mask.window"});
  CHECK(report.not_identifiable.size() == 2);
  report.findings.clear();
  CHECK(diagnose::answer(rows.context, {explanation("mask.none"), unlikely}, "; only now", report));
  CHECK(all_of(report) == Ids{"mask.none"});
  CHECK(report.findings.front().evidence.ends_with("; only now"));
  REQUIRE(report.not_identifiable.size() == 1);
  CHECK(report.not_identifiable.front().id == "mask.top_left");
}

TEST_CASE("the answer is a bug of lse beside an out as expected", "[choice]") {
  const by_hand::Rows rows({});
  auto expected = explanation("");
  expected.lse_parts = {{"lse.base2", {}, ""}};
  diagnose::Report report;
  CHECK(diagnose::answer(rows.context, {expected}, "", report));
  CHECK(all_of(report) == Ids{"lse.base2"});
}

TEST_CASE("NaN is explained by a bug that leaves these rows no key", "[choice]") {
  by_hand::Rows rows({{.row = 0}, {.row = 1}});
  const auto findings_after = [&](std::int64_t hidden_row, std::vector<std::string> ids) {
    auto bug = explanation("mask.window");
    bug.candidate.mechanism = hiding(hidden_row);
    diagnose::Report report;
    for (const auto& id : ids) {
      report.findings.push_back({});
      report.findings.back().id = id;
    }
    diagnose::drop_explained_nan(rows.context, {bug}, report);
    return all_of(report);
  };
  rows.sample.rows[1].has_out = false; // NaN
  CHECK(findings_after(1, {"output.nan", "mask.window"}) == Ids{"mask.window"});
  CHECK(findings_after(0, {"output.nan", "mask.window"}) == Ids{"output.nan", "mask.window"});
  CHECK(findings_after(1, {"mask.window", "output.nan"}) == Ids{"mask.window", "output.nan"});
  CHECK(findings_after(1, {"output.nan"}) == Ids{"output.nan"});
}

TEST_CASE("what competed is told once for each set of identifiers, with how well it fits",
          "[choice]") {
  const by_hand::Rows rows({});
  auto first = explanation("mask.none");
  first.score.out_ratio = 0.25;
  first.score.lse_ratio = 0.5;
  first.lse_parts = {{"lse.base2", {}, "of lse"}};
  auto again = explanation("mask.none");
  again.lse_parts = first.lse_parts;
  auto of_lse = explanation("mask.window");
  of_lse.score.out_ratio = 0.0;
  of_lse.score.lse_ratio = 0.75;
  of_lse.candidate.parts.front().evidence = "";
  of_lse.lse_parts = {{"lse.base2", {}, "of lse"}};
  auto fails = explanation("");
  fails.lse_explained = false;
  auto wrong = explanation("merge.average");
  wrong.score.out_ratio = 1.8;
  wrong.candidate.parts.push_back({"mask.none", {}, ""});
  const auto told = diagnose::considered(rows.context, {first, again, of_lse, fails, wrong});
  REQUIRE(told.size() == 4);
  CHECK(told[0].ids == Ids{"mask.none", "lse.base2"});
  CHECK(told[0].evidence == "evidence of mask.none; of lse");
  CHECK(told[0].residual_ratio == 0.25);
  CHECK(told[0].lse_ratio == 0.5);
  CHECK(told[0].holds);
  CHECK(told[1].ids == Ids{"mask.window", "lse.base2"});
  CHECK(told[1].evidence == "of lse");
  CHECK(told[1].residual_ratio == 0.75);
  CHECK(told[2].ids.empty());
  CHECK(told[2].evidence.empty());
  CHECK_FALSE(told[2].holds);
  CHECK(told[3].evidence == "evidence of merge.average");
  CHECK_FALSE(told[3].holds);
}
