#include "diagnosed.hpp"

#include <algorithm>
#include <string>
#include <support/catch.hpp>
#include <vector>

// What a report says beside the first identifier.

using namespace mla_scale;
using namespace simulator;

namespace {

bool names(const diagnose::Report& report, const std::string& id) {
  const auto ids = all_of(report);
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool cannot_tell(const diagnose::Report& report, const std::string& id) {
  return std::any_of(report.not_identifiable.begin(), report.not_identifiable.end(),
                     [&](const auto& row) { return row.id == id; });
}

bool says(const std::string& sentence, const std::string& words) {
  return sentence.find(words) != std::string::npos;
}

} // namespace

TEST_CASE("a capture with one NaN is not healthy, whatever the rest is") {
  CHECK_FALSE(diagnosed(simulate({}, "output.nan")).healthy);
}

TEST_CASE("NaN in some rows is no tail that was never written") {
  const auto report = diagnosed(simulate({}, "output.nan:two_rows"));
  CHECK(first_of(report) == "output.nan");
  CHECK_FALSE(names(report, "tail.uninitialised"));
}

TEST_CASE("the evidence says whether out or lse gave the scale") {
  Settings settings;
  CHECK(says(diagnosed(simulate(settings, "scale.other")).findings.front().evidence, " from lse,"));
  settings.lse = false;
  CHECK(says(diagnosed(simulate(settings, "scale.other")).findings.front().evidence, " from out,"));
}

TEST_CASE("what rounding does to a fit from out counts in its error, lse has none of it") {
  const diagnose::Options biased{.scale_bias = 2e-3};
  Settings settings;
  const auto error = [&] {
    const auto report = diagnosed(simulate(settings, "scale.other"), 0, biased);
    REQUIRE(first_of(report) == "scale.other");
    return number(report.findings.front(), "standard_error")
           / number(report.findings.front(), "expected");
  };
  CHECK(error() < 1e-5);
  settings.lse = false;
  CHECK(error() >= 2e-3);
}

TEST_CASE("the residual of a finding is that of out, lse's only where there is no out") {
  auto simulation = simulate({}, "scale.latent_width");
  CHECK(diagnosed(simulation).findings.front().residual_ratio == Approx(1.0).epsilon(0.1));
  simulation.capture.out.reset();
  // Of what a float32 lse may be off by, the simulated one is by rounding alone.
  CHECK(diagnosed(simulation).findings.front().residual_ratio < 0.2);
}

TEST_CASE("columns of a tail are told by first and last") {
  const auto report = diagnosed(simulate({}, "tail.uninitialised:columns")); // of 24
  CHECK(says(report.findings.front().evidence, "columns 20..23 of out"));
}

TEST_CASE("an unexplained capture is told by its worst row, its smallest and a map of all") {
  // Head 1 is wrong in rows 30..45, most in row 40; all else is right.
  const auto report = diagnosed(simulate({}, "noise:late"));
  REQUIRE(first_of(report) == "unexplained");
  CHECK(says(report.unexplained, "the worst is head 1, row 40 "));
  CHECK(
      says(report.unexplained, "the smallest slice that shows it is head 1, row 30, with 31 keys"));
  // Every head's 48 rows in eight runs of six.
  REQUIRE(report.map.size() == 24);
  for (std::size_t at = 0; at < report.map.size(); ++at) {
    const auto& place = report.map[at];
    const auto run = static_cast<std::int64_t>(at % 8);
    CHECK(place.head == static_cast<std::int64_t>(at / 8));
    CHECK(place.first_row == 6 * run);
    CHECK(place.last_row == 6 * run + 5);
    CHECK((place.ratio > 12.0) == (place.head == 1 && run >= 5));
  }
}

TEST_CASE("a capture that has all that RoPE needs can tell its bugs") {
  const auto report = diagnosed(simulate({}, "healthy"));
  CHECK_FALSE(cannot_tell(report, "rope.positions_shifted"));
  auto without = simulate({}, "healthy");
  without.capture.positions_k.clear();
  CHECK(cannot_tell(diagnosed(without), "rope.positions_shifted"));
}

TEST_CASE("two equal keys of mscale hide which was read, unless there is none") {
  auto simulation = simulate({}, "healthy");
  simulation.expectation.mscale_other_key = simulation.expectation.mscale;
  CHECK(cannot_tell(diagnosed(simulation), "scale.mscale_wrong_key"));
  Settings none;
  none.mscale = 1.0;
  none.mscale_other_key = 1.0;
  const auto report = diagnosed(simulate(none, "healthy"));
  CHECK(cannot_tell(report, "scale.mscale_omitted"));
  CHECK_FALSE(cannot_tell(report, "scale.mscale_wrong_key"));
}
