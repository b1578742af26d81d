#include "examined.hpp"

#include <mla_scale/diagnose/explain_lse.hpp>

#include <support/catch.hpp>
#include <vector>

// Ways in which lse goes wrong beside a right out, on lse that the tests set.

using namespace mla_scale;
using namespace simulator;

namespace {

/// What the expectation says of every row.
std::vector<diagnose::RowOutcome> outcomes_of(const Examined& examined) {
  return diagnose::outcomes(
      examined.sample,
      [&](const diagnose::Row& row) {
        return examined.predictor.predict(examined.context.reference, row);
      },
      examined.context.rows);
}

diagnose::Candidate expectation_of(const Examined& examined) {
  diagnose::Candidate candidate;
  candidate.mechanism = examined.context.reference;
  return candidate;
}

/// The rules of an exported maximum among those of the expectation.
std::vector<diagnose::LseRule> rules_of_maximum(const Examined& examined) {
  auto rules =
      diagnose::lse_rules(examined.context, expectation_of(examined), outcomes_of(examined));
  std::erase_if(rules, [](const diagnose::LseRule& rule) {
    return rule.parts.empty() || rule.parts.front().id != "lse.max_export";
  });
  return rules;
}

} // namespace

TEST_CASE("lse is off by no part of a largest logit that is 0 in every row") {
  Settings settings;
  settings.spread = 0.0;
  Examined examined(simulate(settings, "healthy"));
  for (auto& row : examined.sample.rows) {
    row.lse += 0.25;
  }
  CHECK(rules_of_maximum(examined).empty());
}

TEST_CASE("a maximum exported with another scale is told by rows of one key, whose lse it is") {
  Settings settings;
  settings.queries = 1;
  settings.heads = 8;
  Examined examined(simulate(settings, "healthy"));
  for (auto& row : examined.sample.rows) {
    row.lse *= 0.75;
  }
  const auto rules = rules_of_maximum(examined);
  REQUIRE(rules.size() == 1);
  CHECK(rules.front().of_maximum == Approx(-0.25));
  CHECK(rules.front().effect == Approx(0.25));
}

TEST_CASE("a maximum and a sum of two bases change lse by as much as the bases differ") {
  Examined examined(simulate({}, "healthy"));
  const auto outcomes = outcomes_of(examined);
  REQUIRE(outcomes.size() == examined.sample.rows.size());
  for (const auto& outcome : outcomes) {
    examined.sample.rows[outcome.index].lse =
        outcome.maximum + (outcome.lse - outcome.maximum) * 1.002;
  }
  const auto rules = rules_of_maximum(examined);
  REQUIRE(rules.size() == 1);
  CHECK(rules.front().of_maximum == Approx(-0.002));
  CHECK(rules.front().effect == Approx(1.0 - 1.0 / 1.002));
}

TEST_CASE("lse is looked for in another order where factors alone move, of two rows too") {
  Settings settings;
  settings.heads = 2;
  settings.queries = 2;
  const Examined examined(simulate(settings, "healthy"));
  const auto outcomes = outcomes_of(examined);
  const auto rules_for = [&](const auto& change) {
    auto candidate = expectation_of(examined);
    change(candidate);
    return diagnose::transposed_lse(examined.context, candidate, outcomes).size();
  };
  CHECK(rules_for([](diagnose::Candidate&) {}) == 2);
  CHECK(rules_for([](diagnose::Candidate& moved) { moved.mechanism.scale *= 2.0; }) == 2);
  CHECK(rules_for([&](diagnose::Candidate& other) {
          other.direct = [&](const diagnose::Row& row) {
            return examined.predictor.predict(examined.context.reference, row);
          };
        })
        == 0);
  CHECK(rules_for([](diagnose::Candidate& other) { other.mechanism.bend = diagnose::hide_future; })
        == 0);
  CHECK(rules_for([](diagnose::Candidate& other) {
          other.mechanism.extra_mass = [](const diagnose::Row&) { return 0.0; };
        })
        == 0);
  CHECK(rules_for(
            [&](diagnose::Candidate& other) { other.mechanism.logits = examined.sample.logits; })
        == 0);
  CHECK(rules_for(
            [&](diagnose::Candidate& other) { other.mechanism.values = examined.sample.values; })
        == 0);
}
