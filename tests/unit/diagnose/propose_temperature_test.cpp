#include "appended.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// Expected values: the laws and rows that variants.cpp was told to inject.

using namespace mla_scale;
using namespace simulator;

namespace {

Candidates temperatures(const Settings& settings, const std::string& bug) {
  return appended(Examined(simulate(settings, bug)), diagnose::propose_temperature);
}

/// The laws by position, best first: original lengths.
std::vector<double> lengths_of(const Candidates& all) {
  std::vector<double> found;
  for (const auto& candidate : with_id(all, "temperature.by_position")) {
    const auto& part = candidate.parts.front();
    if (part.parameters.front().name == "beta") {
      found.push_back(number(part, "original_length"));
    }
  }
  return found;
}

/// Where rows have the scale of the latent width.
std::vector<std::string> places(const Candidates& all) {
  std::vector<std::string> found;
  for (const auto& candidate : with_id(all, "scale.latent_width")) {
    found.push_back(text(candidate.parts.front(), "where"));
  }
  return found;
}

bool has(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

diagnose::Row at_position(double position) {
  diagnose::Row row;
  row.position = position;
  return row;
}

diagnose::Row at_place(std::size_t local) {
  diagnose::Row row;
  row.local = local;
  return row;
}

} // namespace

TEST_CASE("six rows of three keys or more show a factor of their own, five do not", "[proposers]") {
  Settings settings = tiny();
  settings.queries = 8;
  CHECK(temperatures(settings, "healthy").size() == 1); // the table
  settings.queries = 7;
  CHECK(temperatures(settings, "healthy").empty());
}

TEST_CASE("Llama 4's law is found with lengths of 1 to 4096 and powers of two above",
          "[proposers]") {
  for (const std::int64_t length : {1, 5, 4095, 4096, 8192, 16384}) {
    Settings settings = tiny();
    settings.first_position = length < 16 ? 0 : length - 8; // The factor begins within the rows.
    const auto all = temperatures(settings, fmt::format("temperature.by_position:{},0.1", length));
    const auto laws = with_id(all, "temperature.by_position");
    REQUIRE_FALSE(laws.empty());
    const auto& part = laws[0].parts.front();
    CHECK(number(part, "original_length") == static_cast<double>(length));
    CHECK(number(part, "beta") == Approx(0.1).epsilon(1e-3));
    CHECK(laws[0].cost == 12.0);
    CHECK(laws[0].effect == Approx(0.1).epsilon(1e-3));
    CHECK(part.evidence
          == fmt::format("logits of the query at position p times 1 + {:.5g} ln(1 + floor(p / {}))",
                         number(part, "beta"), length));
    const auto& factor = laws[0].mechanism.temperature;
    const auto unit = static_cast<double>(length);
    CHECK(factor(at_position(0.5 * unit)) == 1.0);
    CHECK(factor(at_position(2.5 * unit)) == Approx(1.0 + 0.1 * std::log(3.0)).epsilon(1e-3));
  }
}

TEST_CASE("a length of 4097 is none that is tried, and the last position is the longest",
          "[proposers]") {
  Settings settings = tiny();
  settings.first_position = 4090;
  const auto near = lengths_of(temperatures(settings, "temperature.by_position:4097,0.1"));
  REQUIRE_FALSE(near.empty());
  for (const double length : near) {
    CHECK(length != 4097.0);
  }
  // The last row alone has another factor: it is at the length itself.
  settings.first_position = 8192 - 15;
  CHECK(lengths_of(temperatures(settings, "temperature.by_position:8192,0.1")).front() == 8192.0);
  settings.first_position = 30 - 15;
  CHECK(lengths_of(temperatures(settings, "temperature.by_position:30,0.1")).front() == 30.0);
}

TEST_CASE("the two best laws are proposed, and none where no factor grows", "[proposers]") {
  CHECK(lengths_of(temperatures(tiny(), "temperature.by_position:5,0.1")).size() == 2);
  CHECK(lengths_of(temperatures(tiny(), "healthy")).empty());
  CHECK(lengths_of(temperatures(tiny(), "temperature.by_position:5,0.00015")).front() == 5.0);
  CHECK(lengths_of(temperatures(tiny(), "temperature.by_position:5,0.00003")).empty());
}

TEST_CASE("another law goes between the rows in straight lines", "[proposers]") {
  const auto all = temperatures(tiny(), "temperature.by_position:line"); // 1 + p / 30
  const auto& table = all.back();
  CHECK(text(table.parts.front(), "law") == "none known");
  CHECK(table.cost == 4.0 + 14 * 6.0);
  const auto& factor = table.mechanism.temperature;
  const auto line = [](double position) { return Approx(1.0 + position / 30.0).epsilon(1e-3); };
  CHECK(factor(at_position(2.0)) == line(2.0)); // the first of three keys
  CHECK(factor(at_position(1.0)) == 1.0);
  CHECK(factor(at_position(9.0)) == line(9.0));
  CHECK(factor(at_position(9.25)) == line(9.25));
  CHECK(factor(at_position(9.75)) == line(9.75));
  CHECK(factor(at_position(15.0)) == line(15.0));
  CHECK(factor(at_position(40.0)) == line(15.0));
  CHECK(table.parts.front().evidence
        == "a factor on the logits that depends on the row alone, 1.0667 at position 2 and 1.5 at "
           "position 15");
}

TEST_CASE("rows from one on, or before it, have another scale, be it one row", "[proposers]") {
  for (const int row : {3, 9, 15}) {
    CHECK(has(places(temperatures(tiny(), fmt::format("scale.latent_width:from:{}", row))),
              fmt::format("rows {} and later", row)));
    CHECK(has(places(temperatures(tiny(), fmt::format("scale.latent_width:before:{}", row))),
              fmt::format("rows before {}", row)));
  }
}

TEST_CASE("a step changes the scale of the rows that it names", "[proposers]") {
  const Examined examined(simulate(tiny(), "scale.latent_width:from:9"));
  const double expected = examined.context.reference.scale;
  const auto steps =
      with_id(appended(examined, diagnose::propose_temperature), "scale.latent_width");
  REQUIRE(steps.size() == 1);
  const double wrong = 1.0 / std::sqrt(18.0); // kv_lora_rank + qk_rope_head_dim
  CHECK(steps[0].cost == 6.5);
  CHECK(steps[0].mechanism.temperature(at_place(8)) == 1.0);
  CHECK(steps[0].mechanism.temperature(at_place(9)) == Approx(wrong / expected));
  const auto& part = steps[0].parts.front();
  CHECK(number(part, "softmax_scale") == Approx(wrong));
  CHECK(number(part, "fitted") == Approx(wrong).epsilon(1e-4));
  CHECK(part.evidence.starts_with(fmt::format(
      "rows 9 and later have scale {:.7g} (18^-1/2), the others the expected; fitted ", wrong)));
  const auto before =
      with_id(temperatures(tiny(), "scale.latent_width:before:9"), "scale.latent_width");
  REQUIRE(before.size() == 1);
  CHECK(before[0].mechanism.temperature(at_place(8)) == Approx(wrong / expected));
  CHECK(before[0].mechanism.temperature(at_place(9)) == 1.0);
}

TEST_CASE("of many rows every other one is fitted, and a step lies somewhere between two",
          "[proposers]") {
  Settings settings = tiny();
  settings.queries = 130; // 128 of three keys or more: 2, 4, 6, ...
  const auto found = places(temperatures(settings, "scale.latent_width:from:51"));
  CHECK(has(found, "rows 51 and later"));
  CHECK(has(found, "rows 52 and later"));
  CHECK_FALSE(has(found, "rows 50 and later"));
  const auto all = temperatures(settings, "temperature.by_position:line");
  const auto& factor = all.back();
  CHECK(factor.mechanism.temperature(at_position(51.0)) // between 50 and 52
        == Approx(1.0 + 0.5 * 51.0 / 129.0).epsilon(1e-3));
  CHECK(factor.mechanism.temperature(at_position(51.5))
        == Approx(1.0 + 0.5 * 51.5 / 129.0).epsilon(1e-3));
  settings.queries = 129; // 127: all
  CHECK(places(temperatures(settings, "scale.latent_width:from:51"))
        == std::vector<std::string>{"rows 51 and later"});
}

TEST_CASE("a scale whose step is no closed form is not named", "[proposers]") {
  // A factor of 1.069 in the rows from 8 on, which no formula of these widths gives.
  Settings settings = tiny();
  settings.first_position = 92;
  const auto all = temperatures(settings, "temperature.by_position:100,0.1");
  REQUIRE_FALSE(all.empty());
  for (const auto& candidate : all) {
    CHECK(candidate.parts.front().id == "temperature.by_position");
  }
}

TEST_CASE("a step of half a percent or less is none", "[proposers]") {
  const auto steps = [](const std::string& bug, double ratio) {
    Settings settings = tiny();
    settings.mscale_other_key = settings.mscale * std::sqrt(ratio);
    return with_id(temperatures(settings, bug), "scale.mscale_wrong_key").size();
  };
  CHECK(steps("scale.mscale_wrong_key:rows", 1.006) == 1);
  CHECK(steps("scale.mscale_wrong_key:rows", 0.994) == 1);
  CHECK(steps("scale.mscale_wrong_key:rows", 1.004) == 0);
  CHECK(steps("healthy", 1.004) == 0);
}

TEST_CASE("the scale of a step goes by a name within a percent of it", "[proposers]") {
  const auto named = [](std::int64_t latent) {
    Settings settings = tiny();
    settings.latent = 100; // 104^-1/2
    auto simulation = simulate(settings, "scale.latent_width:from:9");
    simulation.expectation.geometry.kv_lora_rank = latent;
    return places(appended(Examined(std::move(simulation)), diagnose::propose_temperature)).size();
  };
  CHECK(named(100) == 1);
  CHECK(named(102) == 1); // 106^-1/2 is 0.95 % less
  CHECK(named(103) == 0); // 107^-1/2 is 1.4 % less
}
