#include "appended.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Expected values: the scales that variants.cpp was told to inject.

using namespace mla_scale;
using namespace simulator;

namespace {

Settings with_context(bool lse) {
  Settings settings = tiny();
  settings.prefix = 8;
  settings.queries = 8;
  settings.lse = lse;
  return settings;
}

Candidates phases_of(const Settings& settings, const std::string& bug) {
  return appended(Examined(simulate(settings, bug)), diagnose::propose_phases);
}

/// The first unnamed scale of a phase.
double ratio_of(const Candidates& all, const std::string& where) {
  for (const auto& candidate : with_id(all, "scale.other")) {
    if (text(candidate.parts.front(), "where") == where) {
      return number(candidate.parts.front(), "ratio");
    }
  }
  return 1.0;
}

std::size_t named(double ratio) {
  return with_id(phases_of(with_context(true), fmt::format("scale.other:context:{}", ratio)),
                 "scale.log2e_missing")
      .size();
}

} // namespace

TEST_CASE("the scale of one phase is found from a tenth to ten times the expected", "[proposers]") {
  for (const bool lse : {true, false}) {
    for (const double ratio : {0.1, 0.3, 0.7, 1.5, 3.0, 10.0}) {
      INFO(lse << " " << ratio);
      CHECK(ratio_of(phases_of(with_context(lse), fmt::format("scale.other:context:{}", ratio)),
                     "cached context")
            == Approx(ratio).epsilon(1e-3));
      CHECK(ratio_of(phases_of(with_context(lse), fmt::format("scale.other:new_tokens:{}", ratio)),
                     "new tokens")
            == Approx(ratio).epsilon(1e-3));
    }
  }
}

TEST_CASE("the scale of a phase is a number, or one of a name that is near it", "[proposers]") {
  const Examined examined(simulate(with_context(true), "scale.other:context:0.69"));
  const auto all = appended(examined, diagnose::propose_phases);
  const double expected = examined.context.reference.scale;
  REQUIRE_FALSE(all.empty());
  const auto& other = all.front();
  CHECK(other.parts.front().id == "scale.other");
  CHECK(other.cost == 13.0);
  CHECK(other.effect == Approx(0.31));
  CHECK(other.distance == 0.0);
  const auto& part = other.parts.front();
  CHECK(number(part, "softmax_scale") == Approx(0.69 * expected));
  CHECK(other.distance_error
        == Approx(number(part, "standard_error") / number(part, "softmax_scale")));
  CHECK(part.evidence.starts_with(
      fmt::format("keys of the cached context have scale {:.7g}, the others the expected; fitted ",
                  number(part, "softmax_scale"))));
  const auto by_name = with_id(all, "scale.log2e_missing");
  REQUIRE_FALSE(by_name.empty());
  CHECK(by_name[0].cost == 7.0);
  CHECK(by_name[0].effect == Approx(1.0 - std::log(2.0)));
  CHECK(by_name[0].distance == Approx(std::log(std::log(2.0) / 0.69)).epsilon(1e-3));
  CHECK(by_name[0].distance_error == other.distance_error);
  CHECK(number(by_name[0].parts.front(), "fitted") == Approx(0.69 * expected));
  CHECK(by_name[0].parts.front().evidence.find("(expected · ln 2)") != std::string::npos);
  // The one phase alone moves.
  CHECK(by_name[0].mechanism.nope == Approx(std::log(2.0)));
  CHECK(by_name[0].mechanism.rope == 1.0);
  CHECK(by_name[0].mechanism.gain == 1.0);
  const auto& row = examined.sample.rows[3];
  for (std::size_t key = 0; key < row.keys; ++key) {
    const auto& right = *examined.sample.logits;
    const auto& split = *other.mechanism.logits;
    const double whole = right.nope[row.offset + key] + right.rope[row.offset + key];
    CHECK(split.nope[row.offset + key] == Approx(key < 8 ? whole : 0.0).margin(1e-12));
    CHECK(split.rope[row.offset + key] == Approx(key < 8 ? 0.0 : whole).margin(1e-12));
  }
  const auto fresh = phases_of(with_context(true), "scale.other:new_tokens:0.69");
  CHECK(fresh.front().mechanism.nope == 1.0);
  CHECK(fresh.front().mechanism.gain == 1.0);
  CHECK(fresh.front().mechanism.rope == Approx(0.69));
}

TEST_CASE("a name of a phase's scale is within 2 % of what was fitted", "[proposers]") {
  CHECK(named(0.681) > 0); // ln 2 = 0.6931
  CHECK(named(0.706) > 0);
  CHECK(named(0.678) == 0);
  CHECK(named(0.709) == 0);
}

TEST_CASE("a scale of a phase that hardly differs is none", "[proposers]") {
  CHECK(phases_of(with_context(true), "healthy").empty());
  CHECK(phases_of(with_context(true), "scale.other:context:1.00002").empty());
  CHECK_FALSE(phases_of(with_context(true), "scale.other:context:1.0002").empty());
  CHECK_FALSE(phases_of(with_context(true), "scale.other:context:0.9998").empty());
}

TEST_CASE("what rounding biases a scale of out by says nothing of one from lse", "[proposers]") {
  Examined examined(simulate(with_context(true), "scale.other:context:1.25"));
  const auto both = appended(examined, diagnose::propose_phases);
  CHECK(with_id(both, "scale.other").size() == 2);
  examined.context.scale_bias = 0.01;
  const auto biased = with_id(appended(examined, diagnose::propose_phases), "scale.other");
  REQUIRE(biased.size() == 2);
  CHECK(biased[0].distance_error < 1e-4);
  CHECK(biased[1].distance_error == Approx(0.01 / 1.25).epsilon(1e-2));
  examined.context.scale_bias = 0.1;
  CHECK(with_id(appended(examined, diagnose::propose_phases), "scale.other").size() == 1);
}

TEST_CASE("without a prefix there are no two phases", "[proposers]") {
  CHECK(phases_of(tiny(), "scale.other:1.3").empty());
}

TEST_CASE("a prefix of one key is a phase", "[proposers]") {
  Settings settings = with_context(true);
  settings.prefix = 1;
  CHECK(ratio_of(phases_of(settings, "scale.other:new_tokens:1.25"), "new tokens")
        == Approx(1.25).epsilon(1e-3));
}

TEST_CASE("the less exact a phase's scale is fitted, the further away a name may be",
          "[proposers]") {
  Examined examined(simulate(with_context(false), "scale.other:context:0.5"));
  const auto named_ln2 = [&] { // 33 % above what was injected
    return with_id(appended(examined, diagnose::propose_phases), "scale.log2e_missing").size();
  };
  CHECK(named_ln2() == 0);
  examined.context.scale_bias = 0.05; // six times that of 0.5 are 60 %
  CHECK(named_ln2() == 1);
}
