#include "diagnosed.hpp"

#include <mla_scale/diagnose/compose.hpp>
#include <mla_scale/diagnose/followed_bug.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/judged.hpp>
#include <mla_scale/diagnose/named_scale.hpp>
#include <mla_scale/diagnose/small_error.hpp>
#include <mla_scale/diagnose/suspects.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// What a diagnosis makes of a judgement, and the scales that it names: judgements by hand.

using namespace mla_scale;
using simulator::all_of;
using Names = std::vector<std::string>;

namespace {

using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;

compare::GroupError head(std::int64_t number, double ratio, bool bad) {
  compare::GroupError group;
  group.first = number;
  group.last = number;
  group.floor_ratio = ratio;
  group.bad = bad;
  return group;
}

compare::ElementDifference at(std::int64_t row, std::int64_t of_head) {
  return {{row, of_head, 0}, 1.0, 0.0};
}

compare::Judgement judgement_of(compare::Verdict verdict) {
  compare::Judgement judgement;
  judgement.verdict = verdict;
  judgement.tensors.resize(1);
  judgement.tensors.front().floor_ratio = 1.75;
  return judgement;
}

/// 64 + 36 columns: a tenth. With kv_lora_rank 64 and v_head_dim 64 both scales are an eighth.
diagnose::Expectation of_a_tenth() {
  diagnose::Expectation expectation;
  expectation.geometry = {1, 64, 64, 36, 64};
  expectation.softmax_scale = 0.1;
  return expectation;
}

diagnose::Report small_error(double fitted, double error, bool converged = true) {
  auto judgement = judgement_of(compare::Verdict::mismatch);
  judgement.fit = compare::ScaleFit();
  judgement.fit->softmax_scale = fitted;
  judgement.fit->standard_error = error;
  judgement.fit->converged = converged;
  judgement.fit->from = "lse";
  diagnose::Report report;
  report.null_ratio = 3.5;
  auto expectation = of_a_tenth();
  expectation.engines = {{"an engine", "", 0.125, 0.5}};
  diagnose::explain_small_error(expectation, judgement, report);
  return report;
}

/// A match whose best finding this is, with ratios of lse.
bool follows(const std::string& id, double of_bug, double of_expectation,
             compare::Verdict verdict = compare::Verdict::match) {
  diagnose::Report report;
  report.findings.resize(1);
  report.findings.front().id = id;
  report.considered = {{{"mask.window"}, "", 1.0, 9.0, true},
                       {{id}, "", 1.0, of_bug, true},
                       {{}, "", 1.0, of_expectation, true}};
  return diagnose::follows_a_bug(judgement_of(verdict), report);
}

/// Twelve rows of three heads.
simulator::Settings small() {
  simulator::Settings settings;
  settings.queries = 12;
  return settings;
}

diagnose::Report judged(const simulator::Simulation& simulation,
                        const compare::Judgement& judgement) {
  auto problem = simulator::posed(simulation);
  problem.threads = 1;
  auto report =
      diagnose::diagnose_judged(problem, simulation.capture, simulation.expectation, judgement);
  REQUIRE(report);
  return std::move(*report);
}

} // namespace

TEST_CASE("suspects are the bad heads, worst first, at the worst row, then the worst elements",
          "[choice]") {
  compare::Judgement judgement;
  judgement.tensors.resize(3);
  judgement.tensors[0].by_head = {head(4, 9.0, false)};
  judgement.tensors[1].by_head = {head(0, 2.0, true), head(1, 3.0, true), head(2, 8.0, false)};
  judgement.tensors[1].worst = {at(17, 1), at(18, 2)};
  judgement.tensors[2].by_head = {head(3, 2.5, true)};
  judgement.tensors[2].worst = {at(40, 3)};
  CHECK(diagnose::suspects_of(judgement)
        == Pairs{{1, 17}, {3, 17}, {0, 17}, {1, 17}, {2, 18}, {3, 40}});
  CHECK(diagnose::suspects_of({}).empty());
}

TEST_CASE("a small error with a fit within six errors of the expected scale shows no bug",
          "[choice]") {
  const auto unexplained = [](const diagnose::Report& report) {
    CHECK(report.findings.empty() != report.unexplained.empty());
    return report.findings.empty();
  };
  CHECK(unexplained(small_error(0.1059, 0.001)));
  CHECK_FALSE(unexplained(small_error(0.1061, 0.001)));
  CHECK(unexplained(small_error(0.0941, 0.001)));
  CHECK_FALSE(unexplained(small_error(0.0939, 0.001)));
  CHECK(unexplained(small_error(0.1061, 0.001, false)));
  diagnose::Report report;
  diagnose::explain_small_error(of_a_tenth(), judgement_of(compare::Verdict::mismatch), report);
  CHECK(unexplained(report));
}

TEST_CASE("a small error is a named scale's within four errors, the nearest first", "[choice]") {
  // 100^-1/2 of 64 + 36 columns is expected. An eighth is the scale of nope, value and latent
  // width; 0.08838835 = 128^-1/2 that of padding.
  const auto report = small_error(0.1211, 0.001);
  REQUIRE(all_of(report) == Names{"scale.nope_width", "scale.v_width", "scale.kv_lora_width"});
  const auto& finding = report.findings.front();
  const auto* hypothesis = diagnose::find_hypothesis("scale.nope_width");
  CHECK(finding.title == hypothesis->title);
  CHECK(finding.see == hypothesis->look_at);
  CHECK(finding.residual_ratio == 3.5);
  CHECK(simulator::number(finding, "softmax_scale") == Approx(0.125));
  CHECK(simulator::number(finding, "expected") == 0.1);
  CHECK(simulator::number(finding, "ratio") == Approx(1.25));
  CHECK(simulator::number(finding, "fitted") == 0.1211);
  CHECK(simulator::number(finding, "standard_error") == 0.001);
  CHECK(simulator::text(finding, "formula") == "64^-1/2");
  CHECK(finding.evidence
        == "fitted scale 0.1211 ± 0.001 from lse; the error is too small to show more; this is "
           "what an engine computes in prefill");
  CHECK(all_of(small_error(0.1209, 0.001)) == Names{"scale.other"});
  CHECK(all_of(small_error(0.1291, 0.001)) == Names{"scale.other"});
  CHECK(all_of(small_error(0.1289, 0.001)).size() == 3);
  // A poor fit: 0.0884 is nearer to 0.085 than a tenth is to neither.
  CHECK(all_of(small_error(0.0884, 0.0015)).front() == "scale.padded_width");
}

TEST_CASE("a small error of no named scale is the fitted one's", "[choice]") {
  const auto report = small_error(0.11, 0.001);
  REQUIRE(all_of(report) == Names{"scale.other"});
  CHECK(simulator::number(report.findings.front(), "softmax_scale") == 0.11);
  CHECK(simulator::text(report.findings.front(), "formula") == "no parameter formula");
}

TEST_CASE("a match follows a bug of its keys that leaves a twentieth of lse's error", "[choice]") {
  CHECK(follows("mask.none", 0.49, 10.0));
  CHECK_FALSE(follows("mask.none", 0.51, 10.0));
  CHECK(follows("pages.missing", 0.49, 10.0));
  CHECK(follows("merge.context_dropped", 0.49, 10.0));
  CHECK_FALSE(follows("merge.average", 0.49, 10.0));
  CHECK_FALSE(follows("scale.unit", 0.49, 10.0));
  CHECK_FALSE(follows("mask.none", 0.49, 10.0, compare::Verdict::inconclusive));
}

TEST_CASE("a match without a finding, or of which nothing competed, follows no bug", "[choice]") {
  const auto match = judgement_of(compare::Verdict::match);
  diagnose::Report report;
  CHECK_FALSE(diagnose::follows_a_bug(match, report));
  report.findings.resize(1);
  report.findings.front().id = "mask.none";
  CHECK_FALSE(diagnose::follows_a_bug(match, report));
  report.considered = {{{}, "", 1.0, 10.0, true}};
  CHECK_FALSE(diagnose::follows_a_bug(match, report));
  report.considered = {{{"mask.none"}, "", 1.0, 0.1, true}};
  CHECK_FALSE(diagnose::follows_a_bug(match, report));
}

TEST_CASE("two heads are looked at where the judgement saw no mismatch", "[choice]") {
  const auto simulation = simulator::simulate(small(), "healthy");
  CHECK(judged(simulation, judgement_of(compare::Verdict::match)).sampled_heads == 2);
  CHECK(judged(simulation, judgement_of(compare::Verdict::inconclusive)).sampled_heads == 2);
  CHECK(judged(simulation, judgement_of(compare::Verdict::mismatch)).sampled_heads == 3);
}

TEST_CASE("a match has no finding, a mismatch has one or a reason why not", "[choice]") {
  const auto wrong = simulator::simulate(small(), "scale.latent_width");
  CHECK(judged(wrong, judgement_of(compare::Verdict::match)).findings.empty());
  CHECK(judged(wrong, judgement_of(compare::Verdict::inconclusive)).findings.empty());
  auto report = judged(wrong, judgement_of(compare::Verdict::mismatch));
  CHECK(all_of(report) == Names{"scale.latent_width"});
  CHECK(report.unexplained.empty());
  report =
      judged(simulator::simulate(small(), "healthy"), judgement_of(compare::Verdict::mismatch));
  CHECK(report.findings.empty());
  CHECK(report.unexplained
        == "the error is larger than a healthy kernel's, and too small to show which bug made it");
}

TEST_CASE("a match of a kernel that cuts probabilities has a note", "[choice]") {
  const auto simulation = simulator::simulate(small(), "healthy");
  auto judgement = judgement_of(compare::Verdict::match);
  CHECK(judged(simulation, judgement).notes.empty());
  judgement.level = compare::Level::flash_cut;
  const auto report = judged(simulation, judgement);
  REQUIRE(report.notes.size() == 1);
  CHECK(report.notes.front().id == "precision.truncated_probabilities");
  CHECK(report.notes.front().residual_ratio == 1.75);
  judgement.verdict = compare::Verdict::inconclusive;
  CHECK(judged(simulation, judgement).notes.empty());
}

TEST_CASE("a named scale is told with its ratio, and formula and fit where there are any",
          "[choice]") {
  const auto plain = diagnose::scale_parameters({0.5, 0.25, "", {}});
  REQUIRE(plain.size() == 3);
  CHECK(plain[2].name == "ratio");
  CHECK(std::get<double>(plain[2].value) == 2.0);
  const auto full =
      diagnose::scale_parameters({0.5, 0.25, "4^-1/2", diagnose::FittedScale{0.51, 0.02}});
  REQUIRE(full.size() == 6);
  CHECK(full[3].name == "formula");
  CHECK(std::get<double>(full[4].value) == 0.51);
  CHECK(std::get<double>(full[5].value) == 0.02);
}

TEST_CASE("engines compute a scale that is theirs in the phase, to 1e-4", "[choice]") {
  diagnose::Expectation expectation;
  expectation.engines = {{"one", "", 0.5, 0.25}, {"none", "", {}, {}}, {"two", "", 0.25, 0.25}};
  const auto engines = [&](bool decode, double scale) {
    expectation.decode = decode;
    return diagnose::engines_that_compute(expectation, scale);
  };
  CHECK(engines(false, 0.5) == "; this is what one computes in prefill");
  CHECK(engines(false, 0.25) == "; this is what two computes in prefill");
  CHECK(engines(true, 0.25) == "; this is what one, two compute in decode");
  CHECK(engines(true, 0.5).empty());
  CHECK_FALSE(engines(false, 0.5 * (1.0 + 0.9e-4)).empty());
  CHECK(engines(false, 0.5 * (1.0 + 1.1e-4)).empty());
  CHECK_FALSE(engines(false, 0.5 * (1.0 - 0.9e-4)).empty());
  CHECK(engines(false, 0.5 * (1.0 - 1.1e-4)).empty());
}

TEST_CASE("engines are told up to 120 characters, and the one that passes them", "[choice]") {
  const auto told = [](std::size_t length) {
    diagnose::Expectation expectation;
    for (const char name : {'a', 'b', 'c'}) {
      expectation.engines.push_back({std::string(length, name), "", 0.5, {}});
    }
    const auto text = diagnose::engines_that_compute(expectation, 0.5);
    return std::pair(text.find('b' + std::string(", c")) != std::string::npos,
                     text.find('a' + std::string(", b")) != std::string::npos);
  };
  CHECK(told(58) == std::pair(true, true));  // 118 characters of two
  CHECK(told(59) == std::pair(false, true)); // 120
  CHECK(told(119) == std::pair(false, true));
  CHECK(told(120) == std::pair(false, false));
}

TEST_CASE("scales that differ by less than 5e-4 are tried as one", "[choice]") {
  const auto has_v_width = [](std::int64_t nope, std::int64_t value) {
    diagnose::Expectation expectation;
    expectation.geometry = {1, 4000, nope, 500, value};
    expectation.softmax_scale = 1.0 / std::sqrt(static_cast<double>(nope + 500));
    const auto scales = diagnose::different_scales(expectation);
    CHECK(std::any_of(scales.begin(), scales.end(),
                      [](const auto& scale) { return scale.id == "scale.nope_width"; }));
    return std::any_of(scales.begin(), scales.end(),
                       [](const auto& scale) { return scale.id == "scale.v_width"; });
  };
  CHECK_FALSE(has_v_width(1000, 1001)); // 4.999e-4
  CHECK(has_v_width(999, 1000));        // 5.004e-4
  CHECK_FALSE(has_v_width(1001, 1000));
  CHECK(has_v_width(1000, 999));
}
