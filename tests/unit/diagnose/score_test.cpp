#include "by_hand.hpp"

#include <mla_scale/diagnose/score.hpp>

#include <cmath>
#include <limits>
#include <support/catch.hpp>
#include <vector>

// How likely errors are under a healthy kernel's: by hand, -1/2 Σ (error² / variance + ln variance)
// with variance = floor factor · fine + coarseness² · coarse, at the best of floor factors 0.64, 1
// and 1.6 and of the coarsenesses.

using namespace mla_scale;
using diagnose::RowOutcome;

namespace {

/// Rows that were captured whole, each of a head.
diagnose::Sample sample_of_heads(const std::vector<std::int64_t>& heads) {
  diagnose::Sample sample;
  for (const auto head : heads) {
    diagnose::Row row;
    row.head = head;
    row.has_out = true;
    row.has_lse = true;
    sample.rows.push_back(row);
  }
  return sample;
}

RowOutcome of_out(std::size_t index, double squared, double fine, double coarse) {
  RowOutcome outcome;
  outcome.index = index;
  outcome.has_out = true;
  outcome.out_squared = squared;
  outcome.fine = fine;
  outcome.coarse = coarse;
  return outcome;
}

RowOutcome of_lse(std::size_t index, double fine, double coarse) {
  RowOutcome outcome;
  outcome.index = index;
  outcome.has_lse = true;
  outcome.lse_fine = fine;
  outcome.lse_coarse = coarse;
  return outcome;
}

double term(double squared, double variance) {
  return -0.5 * (squared / variance + std::log(variance));
}

} // namespace

TEST_CASE("errors of out are as likely as the best of three sizes of rounding says", "[choice]") {
  const auto sample = sample_of_heads({0});
  const auto likelihood = [&](double squared) {
    return diagnose::score(sample, std::vector{of_out(0, squared, 1.0, 0.0)}, {}).likelihood;
  };
  CHECK(likelihood(0.5) == Approx(term(0.5, 0.64)));
  CHECK(likelihood(1.0) == Approx(term(1.0, 1.0)));
  CHECK(likelihood(1.0) == Approx(-0.5));
  CHECK(likelihood(4.0) == Approx(term(4.0, 1.6)));
}

TEST_CASE("a row of out counts as often as it has independent errors, lse once", "[choice]") {
  auto sample = sample_of_heads({0, 1});
  sample.rows[0].freedom = 3.0;
  sample.rows[1].lse = 2.5;
  const std::vector outcomes = {of_out(0, 1.0, 1.0, 0.0), of_lse(1, 0.25, 0.0)};
  const std::vector expected = {std::nan(""), 2.0};
  const auto score = diagnose::score(sample, outcomes, expected);
  // Both errors are one standard deviation.
  CHECK(score.likelihood == Approx(3.0 * term(1.0, 1.0) + term(0.25, 0.25)));
  CHECK(score.rows == 2);
  CHECK(score.out_ratio == Approx(1.0));
  CHECK(score.lse_ratio == Approx(1.0));
  CHECK(score.coarseness == 0.0);
  const auto alone = diagnose::score(sample, outcomes, {});
  CHECK(alone.likelihood == Approx(3.0 * term(1.0, 1.0)));
  CHECK(alone.lse_ratio == 0.0);
}

TEST_CASE("lse is as likely as the best of three sizes of rounding says", "[choice]") {
  auto sample = sample_of_heads({0});
  const auto likelihood = [&](double error) {
    sample.rows[0].lse = 3.0 + error;
    return diagnose::score(sample, std::vector{of_lse(0, 1.0, 0.0)}, std::vector{3.0}).likelihood;
  };
  CHECK(likelihood(std::sqrt(0.5)) == Approx(term(0.5, 0.64)));
  CHECK(likelihood(1.0) == Approx(-0.5));
  CHECK(likelihood(-2.0) == Approx(term(4.0, 1.6)));
}

TEST_CASE("coarseness is the multiple of the rounding of logits that the errors show", "[choice]") {
  auto sample = sample_of_heads({0});
  for (const double coarseness : {0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8}) {
    const double squared = 3.0 * coarseness * coarseness;
    const auto of = diagnose::score(sample, std::vector{of_out(0, squared, 1e-6, 3.0)}, {});
    CHECK(of.coarseness == coarseness);
    CHECK(of.out_ratio == Approx(1.0).epsilon(1e-3));
    CHECK(of.fine_ratio == Approx(std::sqrt(squared / 1e-6)));
    CHECK(of.likelihood == Approx(term(squared, squared)).epsilon(1e-3));
    sample.rows[0].lse = std::sqrt(squared);
    const auto of_one =
        diagnose::score(sample, std::vector{of_lse(0, 1e-6, 3.0)}, std::vector{0.0});
    CHECK(of_one.coarseness == coarseness);
    CHECK(of_one.lse_ratio == Approx(1.0).epsilon(1e-3));
    CHECK(of_one.likelihood == Approx(term(squared, squared)).epsilon(1e-3));
  }
}

TEST_CASE("the ratio of out is that of all rows, the worst head's is of its rows", "[choice]") {
  auto sample = sample_of_heads({4, 4, 7});
  sample.rows[0].freedom = 3.0;
  const std::vector outcomes = {of_out(0, 8.0, 2.0, 0.0), of_out(1, 0.0, 1.0, 0.0),
                                of_out(2, 2.25, 1.0, 0.0)};
  const auto score = diagnose::score(sample, outcomes, {});
  // Three times 4, once 0 and 2.25.
  CHECK(score.out_ratio == Approx(std::sqrt((12.0 + 2.25) / 5.0)));
  CHECK(score.fine_ratio == Approx(std::sqrt((12.0 + 2.25) / 5.0)));
  CHECK(score.worst_head == Approx(std::sqrt(12.0 / 4.0)));
}

TEST_CASE("ratios are to what a kernel of the coarseness does, the fine one to none", "[choice]") {
  const auto sample = sample_of_heads({0, 1});
  // Coarseness 2: variances 1 + 4 · 3 = 13 and 1 + 4 · 6 = 25 fit both exactly.
  const auto score = diagnose::score(
      sample, std::vector{of_out(0, 13.0, 1.0, 3.0), of_out(1, 25.0, 1.0, 6.0)}, {});
  REQUIRE(score.coarseness == 2.0);
  CHECK(score.out_ratio == Approx(1.0));
  CHECK(score.fine_ratio == Approx(std::sqrt((13.0 + 25.0) / 2.0)));
  CHECK(score.worst_head == Approx(1.0));
}

TEST_CASE("coarseness that only mends an out within 15 % of fine rounding is none", "[choice]") {
  const auto sample = sample_of_heads({0});
  // The variances nearest to both are 1 + 0.5² = 1.25, which would leave 1.03.
  const auto below = diagnose::score(sample, std::vector{of_out(0, 1.32, 1.0, 1.0)}, {});
  CHECK(below.coarseness == 0.0);
  CHECK(below.fine_ratio == Approx(std::sqrt(1.32)));
  CHECK(below.out_ratio == Approx(std::sqrt(1.32)));
  const auto above = diagnose::score(sample, std::vector{of_out(0, 1.33, 1.0, 1.0)}, {});
  CHECK(above.coarseness == 0.5);
  CHECK(above.out_ratio == Approx(std::sqrt(1.33 / 1.25)));
}

TEST_CASE("coarseness that lse needs stays, from twice what fine rounding leaves", "[choice]") {
  auto sample = sample_of_heads({0, 0});
  sample.rows[0].freedom = 1000.0; // Out decides how coarse the logits are.
  const std::vector outcomes = {of_out(0, 1.32, 1.0, 1.0), of_lse(1, 1.0, 1.0)};
  const auto score_of = [&](double error) {
    sample.rows[1].lse = error;
    return diagnose::score(sample, outcomes, std::vector{std::nan(""), 0.0});
  };
  CHECK(score_of(1.99).coarseness == 0.0);
  CHECK(score_of(1.99).lse_ratio == Approx(1.99));
  CHECK(score_of(2.01).coarseness == 0.5);
  CHECK(score_of(2.01).lse_ratio == Approx(2.01 / std::sqrt(1.25)));
}

TEST_CASE("lse alone keeps the coarseness that it shows", "[choice]") {
  auto sample = sample_of_heads({0});
  sample.rows[0].lse = std::sqrt(1.32);
  const auto score = diagnose::score(sample, std::vector{of_lse(0, 1.0, 1.0)}, std::vector{0.0});
  CHECK(score.coarseness == 0.5);
  CHECK(score.out_ratio == 0.0);
  CHECK(score.fine_ratio == 0.0);
  CHECK(score.worst_head == 0.0);
}

TEST_CASE("nothing to score is as unlikely as can be", "[choice]") {
  const auto score = diagnose::score(sample_of_heads({}), {}, {});
  CHECK(score.likelihood == -std::numeric_limits<double>::infinity());
  CHECK(score.rows == 0);
}

TEST_CASE("the ratio of lse leaves out rows without one, and those that nothing is expected of",
          "[choice]") {
  auto sample = sample_of_heads({0, 0, 0, 0});
  const std::vector outcomes = {of_lse(0, 1.0, 0.5), of_lse(1, 1.0, 0.5), of_lse(2, 1.0, 0.5),
                                of_out(3, 1.0, 1.0, 0.0)};
  sample.rows[0].lse = 7.0;
  sample.rows[1].lse = -1.0;
  const std::vector expected = {3.0, 1.0, std::nan(""), 5.0};
  // Errors 4 and -2 against a variance of 1 + 4 · 0.5.
  CHECK(diagnose::lse_ratio(sample, outcomes, expected, 2.0)
        == Approx(std::sqrt((16.0 + 4.0) / 2.0 / 3.0)));
  const std::vector none(4, std::nan(""));
  CHECK(diagnose::lse_ratio(sample, outcomes, none, 2.0) == 0.0);
}

TEST_CASE("an outcome is how far a captured row is from its prediction", "[choice]") {
  auto sample = sample_of_heads({0, 0, 0, 0, 0});
  sample.width = 2;
  sample.out = {1.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 4.0, 4.0};
  sample.rows[1].has_out = false;
  sample.rows[1].has_lse = false;
  sample.rows[2].row = 2; // which is not defined
  sample.rows[3].has_out = false;
  sample.rows[4].has_lse = false;
  const auto predict = [](const diagnose::Row& row) {
    diagnose::Prediction prediction;
    prediction.out = {1.5, 4.0};
    prediction.lse = 1.0;
    prediction.maximum = 2.0;
    prediction.defined = row.row != 2;
    prediction.fine = 3.0;
    prediction.coarse = 4.0;
    prediction.lse_fine = 5.0;
    prediction.lse_coarse = 6.0;
    prediction.maximum_fine = 7.0;
    return prediction;
  };
  const auto found = diagnose::outcomes(sample, predict, std::vector<std::size_t>{0, 1, 2, 3, 4});
  REQUIRE(found.size() == 3);
  CHECK(found[0].index == 0);
  CHECK(found[0].has_out);
  CHECK(found[0].out_squared == Approx(0.25 + 4.0));
  CHECK(found[0].has_lse);
  CHECK(found[0].lse == 1.0);
  CHECK(found[0].maximum == 2.0);
  CHECK(found[0].fine == 3.0);
  CHECK(found[0].coarse == 4.0);
  CHECK(found[0].lse_fine == 5.0);
  CHECK(found[0].lse_coarse == 6.0);
  CHECK(found[0].maximum_fine == 7.0);
  CHECK(found[1].index == 3);
  CHECK_FALSE(found[1].has_out);
  CHECK(found[1].has_lse);
  CHECK(found[1].out_squared == 0.0);
  CHECK(found[2].index == 4);
  CHECK(found[2].has_out);
  CHECK_FALSE(found[2].has_lse);
  CHECK(found[2].out_squared == Approx(6.25));
}

TEST_CASE("a prediction of lse alone has no outcome of out", "[choice]") {
  auto sample = sample_of_heads({0});
  sample.width = 1;
  sample.out = {1.0};
  const auto predict = [](const diagnose::Row&) {
    diagnose::Prediction prediction;
    prediction.defined = true;
    return prediction;
  };
  const auto found = diagnose::outcomes(sample, predict, std::vector<std::size_t>{0});
  REQUIRE(found.size() == 1);
  CHECK_FALSE(found[0].has_out);
  CHECK(found[0].has_lse);
}
