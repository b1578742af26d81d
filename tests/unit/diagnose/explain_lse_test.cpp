#include "by_hand.hpp"
#include "examined.hpp"

#include <mla_scale/diagnose/explain_lse.hpp>

#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <support/catch.hpp>
#include <tuple>
#include <utility>
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

TEST_CASE("lse is off by no part of a largest logit that is 0 in every row", "[choice]") {
  Settings settings;
  settings.spread = 0.0;
  Examined examined(simulate(settings, "healthy"));
  for (auto& row : examined.sample.rows) {
    row.lse += 0.25;
  }
  CHECK(rules_of_maximum(examined).empty());
}

TEST_CASE("a maximum exported with another scale is told by rows of one key, whose lse it is",
          "[choice]") {
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

TEST_CASE("a maximum and a sum of two bases change lse by as much as the bases differ",
          "[choice]") {
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

TEST_CASE("lse is looked for in another order where factors alone move, of two rows too",
          "[choice]") {
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

namespace {

/// A row of which lse and its largest logit are predicted, and lse was captured.
struct OfLse {
  double lse = 0.0;
  double maximum = 0.0;
  double captured = 0.0;
  double coarse = 0.0; ///< variance beside a fine one of 1e-6
};

/// Such rows, with the outcomes of a candidate of scale 0.25.
struct LseRows {
  explicit LseRows(const std::vector<OfLse>& of_rows)
      : rows(std::vector<by_hand::RowOf>(of_rows.size()), {.lse = true}) {
    candidate.mechanism.scale = 0.25;
    for (std::size_t at = 0; at < of_rows.size(); ++at) {
      rows.sample.rows[at].lse = of_rows[at].captured;
      diagnose::RowOutcome outcome;
      outcome.index = at;
      outcome.has_lse = true;
      outcome.lse = of_rows[at].lse;
      outcome.maximum = of_rows[at].maximum;
      outcome.lse_fine = 1e-6;
      outcome.lse_coarse = of_rows[at].coarse;
      outcomes.push_back(outcome);
    }
  }

  [[nodiscard]] std::vector<diagnose::LseRule> rules() const {
    return diagnose::lse_rules(rows.context, candidate, outcomes);
  }
  /// That of an exported maximum, the last one, when there is one.
  [[nodiscard]] std::optional<diagnose::LseRule> of_maximum() const {
    auto all = rules();
    return all.back().parts.empty() || all.back().parts.front().id != "lse.max_export"
               ? std::nullopt
               : std::optional(std::move(all.back()));
  }

  by_hand::Rows rows;
  diagnose::Candidate candidate;
  std::vector<diagnose::RowOutcome> outcomes;
};

/// Four rows whose lse is a · max + b · (lse - max), exactly.
LseRows mixed(double a, double b) {
  std::vector<OfLse> rows;
  for (const auto& [maximum, log_sum] :
       {std::pair{1.0, 0.5}, std::pair{2.0, 0.25}, std::pair{-1.0, 2.0}, std::pair{3.0, 1.0}}) {
    rows.push_back({maximum + log_sum, maximum, a * maximum + b * log_sum});
  }
  return LseRows(rows);
}

/// Four rows of max 2 and lse - max ±1 whose lse is 0.05 max and `e` (lse - max) off, and by an
/// error of 0.01 that is neither's.
LseRows with_error(double e) {
  std::vector<OfLse> rows;
  for (const auto& [log_sum, error, coarse] :
       {std::tuple{1.0, 0.01, 3e-6}, std::tuple{-1.0, 0.01, 0.0}, std::tuple{1.0, -0.01, 0.0},
        std::tuple{-1.0, -0.01, 3e-6}}) {
    const double lse = 2.0 + log_sum;
    rows.push_back({lse, 2.0, lse + 0.1 + e * log_sum + error, coarse});
  }
  return LseRows(rows);
}

} // namespace

TEST_CASE("lse follows, or by a factor of log2 e or ln 2; so of every other lse of the candidate",
          "[choice]") {
  LseRows of({{2.0, 1.0, 2.0}, {-1.0, -2.0, -1.0}});
  of.candidate.lse = {{"lse of another", [&](const diagnose::Row& row) {
                         return &row == of.rows.sample.rows.data() ? 5.0 : 6.0;
                       }}};
  const auto rules = of.rules();
  REQUIRE(rules.size() == 6);
  CHECK(rules[0].text == "lse follows");
  CHECK(rules[0].cost == 0.0);
  CHECK(rules[0].effect == 1.0);
  CHECK(rules[0].parts.empty());
  CHECK(rules[0].expected == std::vector<double>{2.0, -1.0});
  CHECK(rules[1].text == "lse of another");
  CHECK(rules[1].cost == 1.0);
  CHECK(rules[1].effect == 1.0);
  CHECK(rules[1].parts.empty());
  CHECK(rules[1].expected == std::vector<double>{5.0, 6.0});
  const double log2e = 1.0 / std::log(2.0);
  const std::vector<double> factors = {log2e, std::log(2.0), log2e, std::log(2.0)};
  for (std::size_t at = 0; at < 4; ++at) {
    const auto& rule = rules[2 + at];
    const auto& of_one = rules[at / 2].expected;
    REQUIRE(rule.parts.size() == 1);
    CHECK(rule.parts.front().id == "lse.base2");
    CHECK(number(rule.parts.front(), "factor") == Approx(factors[at]));
    CHECK(rule.cost == 3.0);
    CHECK(rule.effect == 1.0);
    CHECK(rule.of_maximum == 0.0);
    CHECK(rule.expected[0] == Approx(factors[at] * of_one[0]));
    CHECK(rule.expected[1] == Approx(factors[at] * of_one[1]));
  }
}

TEST_CASE("a maximum exported with another scale is told by the part of it that lse is off",
          "[choice]") {
  auto of = mixed(1.5, 1.0);
  const auto rule = of.of_maximum();
  REQUIRE(rule);
  CHECK(number(rule->parts.front(), "slope") == Approx(0.5));
  CHECK(number(rule->parts.front(), "exported_scale") == Approx(0.375));
  CHECK(rule->cost == 9.0);
  CHECK(rule->effect == Approx(0.5));
  CHECK(rule->of_maximum == Approx(0.5));
  CHECK(rule->text == "lse is off by 0.5 times the row's largest logit");
  CHECK(rule->parts.front().evidence == rule->text + ": the maximum was exported with scale 0.375");
  for (std::size_t at = 0; at < 4; ++at) {
    CHECK(rule->expected[at] == Approx(of.rows.sample.rows[at].lse));
  }
  of.candidate.mechanism.scale = 0.0; // None: the expected one, which is 1.
  CHECK(number(of.of_maximum()->parts.front(), "exported_scale") == Approx(1.5));
}

TEST_CASE("a maximum and a sum of two bases are told by both factors", "[choice]") {
  const auto of = mixed(1.5, 0.75);
  const auto rule = of.of_maximum();
  REQUIRE(rule);
  CHECK(number(rule->parts.front(), "of_max") == Approx(1.5));
  CHECK(number(rule->parts.front(), "of_log_sum") == Approx(0.75));
  CHECK(rule->cost == 16.0);
  CHECK(rule->effect == Approx(1.0));
  CHECK(rule->of_maximum == Approx(0.75));
  for (std::size_t at = 0; at < 4; ++at) {
    CHECK(rule->expected[at] == Approx(of.rows.sample.rows[at].lse));
  }
}

TEST_CASE("two factors are told where one leaves a fifth more error of a healthy kernel that "
          "rounds logits once",
          "[choice]") {
  // Rows of variance 1e-6 and 4e-6: with r = e / 0.01 the errors are sqrt(((1 + r)² / 4 + (1 - r)²)
  // / 1.25) to 1, which is 1.2 at r = 1.4944.
  const auto one = with_error(0.0148).of_maximum();
  REQUIRE(one);
  CHECK(number(one->parts.front(), "slope") == Approx(0.05));
  const auto two = with_error(0.0151).of_maximum();
  REQUIRE(two);
  CHECK(number(two->parts.front(), "of_max") == Approx(1.05));
  CHECK(number(two->parts.front(), "of_log_sum") == Approx(1.0151));
}

TEST_CASE("a multiple of the whole lse, to a thousandth, says nothing of its maximum", "[choice]") {
  CHECK_FALSE(mixed(1.5, 1.5).of_maximum());
  CHECK_FALSE(mixed(1.5 * 1.0009, 1.5).of_maximum());
  CHECK(mixed(1.5 * 1.0011, 1.5).of_maximum());
  CHECK_FALSE(mixed(1.5 * 0.9991, 1.5).of_maximum());
  CHECK(mixed(1.5 * 0.9989, 1.5).of_maximum());
  CHECK(mixed(1.0009, 1.0009).of_maximum());
  CHECK_FALSE(mixed(1.0011, 1.0011).of_maximum());
  CHECK(mixed(0.9991, 0.9991).of_maximum());
  CHECK_FALSE(mixed(0.9989, 0.9989).of_maximum());
}

TEST_CASE("what float32 leaves of a maximum, 3e-5 of it, is no bug", "[choice]") {
  CHECK_FALSE(mixed(1.0 + 2.9e-5, 1.0).of_maximum());
  CHECK(mixed(1.0 + 3.1e-5, 1.0).of_maximum());
  CHECK_FALSE(mixed(1.0 - 2.9e-5, 1.0).of_maximum());
  CHECK(mixed(1.0 - 3.1e-5, 1.0).of_maximum());
  CHECK(mixed(1.0, 1.01).of_maximum());
  // Σ max² = 15 and Σ max (lse - max) = 2: so that no part of max alone is missing.
  CHECK_FALSE(mixed(1.0 + 2.9e-5, 1.0 - 2.9e-5 * 7.5).of_maximum());
  CHECK(mixed(1.0 + 3.1e-5, 1.0 - 3.1e-5 * 7.5).of_maximum());
  // And so that the part that seems missing comes of the sum alone.
  CHECK_FALSE(mixed(1.0, 1.0 + 2.9e-5 * 7.5).of_maximum());
  CHECK(mixed(1.0, 1.0 + 3.1e-5 * 7.5).of_maximum());
  const auto both = mixed(1.001, 1.0 - 0.001 * 7.5).of_maximum();
  REQUIRE(both);
  CHECK(number(both->parts.front(), "of_max") == Approx(1.001));
}

TEST_CASE("four rows of lse tell of a maximum, three do not", "[choice]") {
  auto of = mixed(1.5, 1.0);
  of.outcomes.back().has_lse = false;
  CHECK_FALSE(of.of_maximum());
  auto five = LseRows({{1.5, 1.0, 2.0},
                       {2.25, 2.0, 3.25},
                       {1.0, -1.0, 0.5},
                       {4.0, 3.0, 5.5},
                       {4.0, 3.0, 1e9}}); // not captured
  five.outcomes.back().has_lse = false;
  const auto rule = five.of_maximum();
  REQUIRE(rule);
  CHECK(number(rule->parts.front(), "slope") == Approx(0.5));
  CHECK(rule->expected.size() == 5);
}

TEST_CASE("rows of one key each have no sum beside their maximum", "[choice]") {
  const auto rule =
      LseRows({{1.0, 1.0, 0.75}, {2.0, 2.0, 1.5}, {3.0, 3.0, 2.25}, {4.0, 4.0, 3.0}}).of_maximum();
  REQUIRE(rule);
  CHECK(number(rule->parts.front(), "slope") == Approx(-0.25));
}

TEST_CASE("lse is a multiple where what it leaves is within twenty errors, times the factor",
          "[choice]") {
  const auto factor = [](double expected, double rest) {
    // Of one standard deviation 0.002: 1e-6 fine and 3e-6 coarse.
    LseRows of({{2.0, 1.0, 2.0 * expected + rest, 3e-6},
                {2.0, 1.0, 2.0 * expected - rest, 3e-6},
                {7.0, 1.0, 0.0, 3e-6}});
    of.outcomes.back().has_lse = false;
    return diagnose::lse_multiple(of.rows.context, of.outcomes).value_or(0.0);
  };
  CHECK(factor(0.5, 0.0398) == Approx(0.5));
  CHECK(factor(0.5, 0.0402) == 0.0);
  CHECK(factor(3.0, 0.119) == Approx(3.0));
  CHECK(factor(3.0, 0.121) == 0.0);
  CHECK(factor(-3.0, 0.119) == Approx(-3.0));
  CHECK(factor(-3.0, 0.121) == 0.0);
}

TEST_CASE("an lse of 0 in every row has no multiple", "[choice]") {
  const LseRows of({{0.0, 0.0, 0.0}});
  CHECK_FALSE(diagnose::lse_multiple(of.rows.context, of.outcomes));
}

TEST_CASE("lse in another order is that of the row and head whose place it took", "[choice]") {
  Settings settings;
  settings.heads = 3;
  settings.queries = 5;
  const Examined examined(simulate(settings, "healthy"));
  const auto outcomes = outcomes_of(examined);
  REQUIRE(outcomes.size() == 15);
  std::map<std::pair<std::int64_t, std::int64_t>, double> lse;
  for (const auto& outcome : outcomes) {
    const auto& row = examined.sample.rows[outcome.index];
    lse[{row.head, row.row}] = outcome.lse;
  }
  const auto rules = diagnose::transposed_lse(examined.context, expectation_of(examined), outcomes);
  REQUIRE(rules.size() == 2);
  CHECK(rules[0].text == "lse was written as [T, H] and is read as [H, T]");
  CHECK(rules[1].text == "lse was written as [H, T] and is read as [T, H]");
  for (std::size_t at = 0; at < outcomes.size(); ++at) {
    const auto& row = examined.sample.rows[outcomes[at].index];
    const auto by_rows = row.head * 5 + row.row; // place in [H, T], of [T, H]
    CHECK(rules[0].expected[at] == Approx(lse.at({by_rows % 3, by_rows / 3})));
    const auto by_heads = row.row * 3 + row.head; // and the other way round
    CHECK(rules[1].expected[at] == Approx(lse.at({by_heads / 5, by_heads % 5})));
  }
  for (const auto& rule : rules) {
    CHECK(rule.cost == 4.0);
    CHECK(rule.effect == 1.0);
    REQUIRE(rule.parts.size() == 1);
    CHECK(rule.parts.front().id == "lse.transposed");
  }
}

TEST_CASE("lse in another order is looked up for some 48 rows, the others tell nothing",
          "[choice]") {
  const auto looked_up = [](std::int64_t heads, std::int64_t queries) {
    Settings settings;
    settings.heads = heads;
    settings.queries = queries;
    settings.nope = 4;
    settings.rope = 2;
    settings.value = 2;
    settings.latent = 8;
    const Examined examined(simulate(settings, "healthy"));
    const auto rules =
        diagnose::transposed_lse(examined.context, expectation_of(examined), outcomes_of(examined));
    REQUIRE(rules.size() == 2);
    std::size_t places = 0;
    for (std::size_t at = 0; at < rules[0].expected.size(); ++at) {
      if (std::isfinite(rules[0].expected[at])) {
        places += at;
      }
    }
    return places; // their sum
  };
  CHECK(looked_up(2, 23) == 45 * 46 / 2);       // 46: all
  CHECK(looked_up(3, 16) == 2 * (23 * 24 / 2)); // 48: every other one
  CHECK(looked_up(4, 24) == 3 * (31 * 32 / 2)); // 96: every third
}

TEST_CASE("one head or one row has no other order", "[choice]") {
  const auto rules_of = [](std::int64_t heads, std::int64_t queries) {
    Settings settings;
    settings.heads = heads;
    settings.queries = queries;
    const Examined examined(simulate(settings, "healthy"));
    return diagnose::transposed_lse(examined.context, expectation_of(examined),
                                    outcomes_of(examined))
        .size();
  };
  CHECK(rules_of(1, 4) == 0);
  CHECK(rules_of(4, 1) == 0);
}
