#include "appended.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <variant>
#include <vector>

// Expected values: the masses that variants.cpp was told to inject. float32 lse tells them.

using namespace mla_scale;
using namespace simulator;

namespace {

Candidates masses(const Settings& settings, const std::string& bug) {
  return appended(Examined(simulate(settings, bug)), diagnose::propose_extra_mass);
}

/// Those with a fixed number of lanes, by number, once for each source.
std::vector<double> lanes_of(const Candidates& all) {
  std::vector<double> found;
  for (const auto& candidate : with_id(all, "softmax.padding_lanes")) {
    const auto& parameter = candidate.parts.front().parameters.front();
    if (parameter.name == "lanes" && std::holds_alternative<std::int64_t>(parameter.value)) {
      found.push_back(number(candidate.parts.front(), "lanes"));
    }
  }
  return found;
}

/// The first with that parameter.
diagnose::Candidate mass_with(const Candidates& all, const std::string& parameter) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& candidate) {
    return candidate.parts.front().parameters.front().name == parameter;
  });
  REQUIRE(found != all.end());
  return *found;
}

double common_sink(const Settings& settings, double injected) {
  return number(
      mass_with(masses(settings, fmt::format("softmax.sink:{}", injected)), "sink").parts.front(),
      "sink");
}

using List = std::vector<double>;

} // namespace

TEST_CASE("lanes are the number that the mass shows, and its neighbours", "[proposers]") {
  CHECK(lanes_of(masses(tiny(), "softmax.padding_lanes:17")) == List{17, 16, 18});
  CHECK(lanes_of(masses(tiny(), "softmax.padding_lanes:1")) == List{1, 2});
  // With lse each is proposed twice, as lse counts it or not, and once for each source.
  CHECK(lanes_of(masses(tiny_with_lse(), "softmax.padding_lanes:4"))
        == List{4, 4, 3, 3, 5, 5, 4, 4, 3, 3, 5, 5});
}

TEST_CASE("fewer lanes than four cost as much as a sink", "[proposers]") {
  const auto all = masses(tiny(), "softmax.padding_lanes:4");
  CHECK(number(all[0].parts.front(), "lanes") == 4.0);
  CHECK(all[0].cost == 6.0);
  CHECK(number(all[1].parts.front(), "lanes") == 3.0);
  CHECK(all[1].cost == 9.0);
  CHECK(all[0].parts.front().evidence == "4 keys of logit 0 without value stay in the denominator");
  CHECK(all[0].mechanism.extra_mass(row_seeing(3, 5)) == Approx(std::log(4.0)));
}

TEST_CASE("a mass of a third of a lane or of millions is no number of lanes", "[proposers]") {
  CHECK(lanes_of(masses(tiny_with_lse(), "softmax.sink:-0.9")).front() == 1.0); // the one above 0
  CHECK(lanes_of(masses(tiny_with_lse(), "softmax.sink:-1.1")).empty());
  CHECK_FALSE(lanes_of(masses(tiny_with_lse(), "softmax.sink:14.9")).empty());
  CHECK(lanes_of(masses(tiny_with_lse(), "softmax.sink:15.1")).empty());
}

TEST_CASE("a common sink is found far below and far above every logit", "[proposers]") {
  for (const double sink : {-6.0, -4.0, 0.3, 12.0, 16.0}) {
    CHECK(common_sink(tiny_with_lse(), sink) == Approx(sink).margin(0.01));
  }
  for (const double sink : {-3.0, 1.7, 9.0}) {
    CHECK(common_sink(tiny(), sink) == Approx(sink).margin(0.01)); // from out
  }
}

TEST_CASE("each head's sink is fitted to its own rows", "[proposers]") {
  Settings settings;
  settings.lse = false;
  const auto all = masses(settings, "softmax.sink");
  const auto sinks = mass_with(all, "sinks");
  const double expected[] = {1.3, 1.7, 2.1}; // as simulator.cpp injects
  for (std::int64_t head = 0; head < 3; ++head) {
    diagnose::Row row = row_seeing(5, 9);
    row.head = head;
    CHECK(sinks.mechanism.extra_mass(row) == Approx(expected[head]).margin(0.02));
  }
  diagnose::Row other = row_seeing(5, 9);
  other.head = 3;
  CHECK(sinks.mechanism.extra_mass(other) == diagnose::k_hidden);
  CHECK(sinks.cost == 1.0 + 3 * 6.0);
  CHECK_FALSE(sinks.mechanism.lse_counts_extra_mass);
  CHECK(text(sinks.parts.front(), "sinks").starts_with("1."));
  CHECK(sinks.parts.front().evidence
        == "a mass of e^x without value in each head's denominator, x = "
               + text(sinks.parts.front(), "sinks"));
  const auto common = mass_with(all, "sink");
  CHECK(common.cost == 8.0);
}

TEST_CASE("a mass takes from out its share of the denominator", "[proposers]") {
  const Examined examined(simulate(tiny(), "softmax.padding_lanes:17"));
  double expected = 0.0;
  for (const auto& row : examined.sample.rows) {
    const double lse = examined.predictor.predict(examined.context.reference, row).lse;
    expected += 17.0 / (17.0 + std::exp(lse)) / static_cast<double>(examined.sample.rows.size());
  }
  const auto all = appended(examined, diagnose::propose_extra_mass);
  CHECK(all[0].effect == Approx(expected));
}

TEST_CASE("lse counts lanes rather than not, and a sink rather not", "[proposers]") {
  const auto all = masses(tiny_with_lse(), "softmax.padding_lanes:17");
  CHECK(all[0].mechanism.lse_counts_extra_mass);
  CHECK(all[0].cost == 6.0);
  CHECK(all[0].parts.front().evidence.ends_with("; lse counts it"));
  CHECK_FALSE(all[1].mechanism.lse_counts_extra_mass);
  CHECK(all[1].cost == 12.0);
  CHECK(all[1].parts.front().evidence.ends_with("; lse does not count it"));
  const auto sinks = with_id(all, "softmax.sink");
  CHECK_FALSE(sinks[0].mechanism.lse_counts_extra_mass);
  CHECK(sinks[0].cost == 7.0); // one head
  CHECK(sinks[1].mechanism.lse_counts_extra_mass);
  CHECK(sinks[1].cost == 8.0);
  CHECK_FALSE(sinks[2].mechanism.lse_counts_extra_mass); // common to all heads
  CHECK(sinks[2].cost == 8.0);
  CHECK(sinks[3].cost == 9.0);
  CHECK(all[all.size() - 2].mechanism.lse_counts_extra_mass); // all masked keys
  CHECK(all[all.size() - 1].cost == 12.0);
  CHECK(all[all.size() - 4].mechanism.lse_counts_extra_mass); // tiles of 256
  CHECK(all[all.size() - 3].cost == 13.0);
}

TEST_CASE("lanes are found from lse where there is no out", "[proposers]") {
  auto simulation = simulate(tiny_with_lse(), "softmax.padding_lanes:17");
  simulation.capture.out.reset();
  const Examined examined(std::move(simulation));
  CHECK(lanes_of(appended(examined, diagnose::propose_extra_mass)) == List{17, 17, 16, 16, 18, 18});
}

TEST_CASE("a sink is found from an output of hundredths, but not of a head that nothing tells",
          "[proposers]") {
  Settings settings = tiny();
  settings.heads = 2;
  settings.value = 2;
  settings.prefix = 60; // means of many values
  Examined examined(simulate(settings, "softmax.sink:1.7"));
  std::erase_if(examined.context.fit,
                [&](std::size_t index) { return examined.sample.rows[index].head == 1; });
  const auto sinks = mass_with(appended(examined, diagnose::propose_extra_mass), "sinks");
  CHECK(text(sinks.parts.front(), "sinks") == "1.7, -inf");
}

TEST_CASE("lanes may fill the last tile of 16 to 256 keys, or be all masked keys", "[proposers]") {
  std::vector<double> tiles;
  const auto all = masses(tiny(), "healthy");
  for (const auto& candidate : with_id(all, "softmax.padding_lanes")) {
    if (candidate.parts.front().parameters.front().name != "tile") {
      continue;
    }
    const double tile = number(candidate.parts.front(), "tile");
    tiles.push_back(tile);
    CHECK(candidate.cost == 7.0);
    const auto& mass = candidate.mechanism.extra_mass;
    const auto visible = static_cast<std::size_t>(tile);
    CHECK(mass(row_seeing(visible, 600)) == diagnose::k_hidden); // full
    CHECK(mass(row_seeing(visible + 5, 600)) == Approx(std::log(tile - 5.0)));
    CHECK(mass(row_seeing(2 * visible - 1, 600)) == Approx(0.0).margin(1e-12));
  }
  CHECK(tiles == List{16, 32, 64, 128, 256});
  CHECK(text(all.back().parts.front(), "lanes") == "all masked keys");
  CHECK(all.back().cost == 6.0);
  CHECK(all.back().mechanism.extra_mass(row_seeing(7, 10)) == Approx(std::log(3.0)));
  CHECK(all.back().mechanism.extra_mass(row_seeing(10, 10)) == diagnose::k_hidden);
}

TEST_CASE("four rows show a mass, three do not", "[proposers]") {
  Settings settings = tiny();
  settings.queries = 4;
  CHECK_FALSE(masses(settings, "healthy").empty());
  settings.queries = 3;
  CHECK(masses(settings, "healthy").empty());
}
