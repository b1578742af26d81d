#include "by_hand.hpp"
#include "examined.hpp"

#include <mla_scale/diagnose/explanation.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <support/catch.hpp>
#include <vector>

// What an explanation is worth and whether it holds: scores and predictions by hand.

using namespace mla_scale;
using by_hand::explanation;
using diagnose::Explanation;

namespace {

bool holds(const Explanation& one, by_hand::Captured captured = {}) {
  const by_hand::Rows rows({}, captured);
  return diagnose::holds(rows.context, one);
}

/// What is predicted of a row, by its number.
struct Predicted {
  double out = 1.0;
  double lse = 0.0;
  double maximum = 0.0;
};

/// Predicts so, with variances of 1e-4 (out) and 1e-6 (lse).
diagnose::Candidate predicting(const std::vector<Predicted>& rows, double coarse = 0.0,
                               double maximum_fine = 0.0) {
  diagnose::Candidate candidate;
  candidate.parts = {{"mask.none", {}, ""}};
  candidate.direct = [rows, coarse, maximum_fine](const diagnose::Row& row) {
    const auto& of_row = rows[static_cast<std::size_t>(row.row)];
    diagnose::Prediction prediction;
    prediction.out = {of_row.out};
    prediction.lse = of_row.lse;
    prediction.maximum = of_row.maximum;
    prediction.fine = 1e-4;
    prediction.coarse = coarse;
    prediction.lse_fine = 1e-6;
    prediction.maximum_fine = maximum_fine;
    prediction.defined = std::isfinite(of_row.out);
    return prediction;
  };
  return candidate;
}

/// Of an error so many standard deviations large, at the best of three floors.
double term(double errors, double variance) {
  double best = -std::numeric_limits<double>::infinity();
  for (const double factor : {0.64, 1.0, 1.6}) {
    best = std::max(best, -0.5 * (errors * errors / factor + std::log(factor * variance)));
  }
  return best;
}

/// Rows of out and lse, numbered from 0, whose out is off by one healthy kernel's error.
std::vector<by_hand::RowOf> rows_of_lse(const std::vector<double>& lse) {
  std::vector<by_hand::RowOf> rows;
  for (std::size_t at = 0; at < lse.size(); ++at) {
    rows.push_back({.row = static_cast<std::int64_t>(at), .out_error = 1.0, .logit = lse[at]});
  }
  return rows;
}

} // namespace

TEST_CASE("out holds up to 1.7 times a healthy kernel's error, of a head up to 2.5", "[choice]") {
  auto one = explanation("mask.none");
  one.score.out_ratio = 1.69;
  CHECK(holds(one));
  one.score.out_ratio = 1.71;
  CHECK_FALSE(holds(one));
  one.score.out_ratio = 1.0;
  one.score.worst_head = 2.49;
  CHECK(holds(one));
  one.score.worst_head = 2.51;
  CHECK_FALSE(holds(one));
}

TEST_CASE("an out without any error holds, one that was not scored does not", "[choice]") {
  auto one = explanation("mask.none");
  one.score.out_ratio = 0.0;
  one.score.worst_head = 0.0;
  CHECK(holds(one));
  one.score.rows = 1;
  CHECK(holds(one));
  one.score.rows = 0;
  CHECK_FALSE(holds(one));
  one.score.rows = 10;
  one.score.out_ratio = std::nan("");
  CHECK_FALSE(holds(one));
}

TEST_CASE("lse that is explained holds up to six times a healthy kernel's error", "[choice]") {
  auto one = explanation("mask.none");
  one.score.lse_ratio = 5.9;
  CHECK(holds(one));
  one.score.lse_ratio = 6.1;
  CHECK_FALSE(holds(one));
  one.lse_explained = false;
  CHECK(holds(one));
}

TEST_CASE("lse alone holds where it is explained, whatever out's ratio", "[choice]") {
  auto one = explanation("mask.none");
  one.score.out_ratio = 9.0;
  CHECK(holds(one, {.out = false, .lse = true}));
  one.score.lse_ratio = 6.1;
  CHECK_FALSE(holds(one, {.out = false, .lse = true}));
  one.lse_explained = false;
  CHECK_FALSE(holds(one, {.out = false, .lse = true}));
}

TEST_CASE("logits may be rounded twice as coarsely as once, in merged parts 2.8 times",
          "[choice]") {
  const auto holds_at = [](const std::string& id, double coarseness) {
    auto one = explanation(id);
    one.score.coarseness = coarseness;
    return holds(one);
  };
  CHECK(holds_at("mask.none", 2.0));
  CHECK_FALSE(holds_at("mask.none", 2.1));
  CHECK(holds_at("", 2.0));
  CHECK_FALSE(holds_at("", 2.1));
  CHECK(holds_at("merge.average", 2.8));
  CHECK_FALSE(holds_at("merge.average", 2.9));
}

TEST_CASE("where logits were rounded a change of 0.6 % is their own doing", "[choice]") {
  const auto holds_at = [](double coarseness, double effect) {
    auto one = explanation("value.gain");
    one.score.coarseness = coarseness;
    one.candidate.effect = effect;
    return holds(one);
  };
  CHECK(holds_at(0.19, 1e-5));
  CHECK_FALSE(holds_at(0.2, 5.9e-3));
  CHECK(holds_at(0.2, 6.1e-3));
  CHECK_FALSE(holds_at(1.0, 5.9e-3));
}

TEST_CASE("a scale alone, as exact as its fit is, may be off by 0.05 % where logits were rounded",
          "[choice]") {
  const auto holds_at = [](double effect, double error) {
    auto one = explanation("scale.other");
    one.score.coarseness = 0.5;
    one.candidate.effect = effect;
    one.candidate.distance_error = error;
    return holds(one);
  };
  CHECK(holds_at(5.1e-4, 0.0));
  CHECK_FALSE(holds_at(4.9e-4, 0.0));
  // Six errors of the fit.
  CHECK(holds_at(3.1e-3, 5e-4));
  CHECK_FALSE(holds_at(2.9e-3, 5e-4));
  auto with_another = explanation("scale.other");
  with_another.score.coarseness = 0.5;
  with_another.candidate.effect = 3e-3;
  CHECK(holds(with_another));
  with_another.candidate.parts.push_back({"mask.none", {}, ""});
  CHECK_FALSE(holds(with_another));
}

TEST_CASE("the search ends with an explanation that leaves fine rounding alone", "[choice]") {
  const by_hand::Rows rows({});
  const auto settles = [&](const auto& change) {
    auto one = explanation("mask.none");
    change(one);
    return diagnose::settles(rows.context, one);
  };
  CHECK(settles([](auto&) {}));
  CHECK(settles([](auto& one) { one.score.fine_ratio = 1.14; }));
  CHECK_FALSE(settles([](auto& one) { one.score.fine_ratio = 1.16; }));
  CHECK(settles([](auto& one) { one.score.coarseness = 0.1; }));
  CHECK_FALSE(settles([](auto& one) { one.score.coarseness = 0.11; }));
  CHECK_FALSE(settles([](auto& one) { one.lse_explained = false; }));
  CHECK_FALSE(settles([](auto& one) { one.score.worst_head = 2.6; }));
  const by_hand::Rows of_lse({}, {.out = false, .lse = true});
  auto without_out = explanation("mask.none");
  without_out.score.fine_ratio = 1.16;
  CHECK(diagnose::settles(of_lse.context, without_out));
}

TEST_CASE("three candidates, a dozen near the best, and the expectation survive the screening",
          "[choice]") {
  const auto count = [](const std::vector<double>& totals) {
    std::vector<Explanation> screened;
    for (const double total : totals) {
      screened.push_back(explanation("mask.none", total));
    }
    screened.push_back(explanation("", -1e9));
    const auto kept = diagnose::survivors(std::move(screened));
    REQUIRE_FALSE(kept.empty());
    CHECK(kept.back().parts.empty());
    return kept.size() - 1;
  };
  CHECK(count({50.0, -100.0, -200.0, -300.0}) == 3);
  CHECK(count({50.0, 49.0, 48.0, -9.9}) == 4);
  CHECK(count({50.0, 49.0, 48.0, -10.1}) == 3);
  CHECK(count(std::vector<double>(20, 50.0)) == 12);
}

TEST_CASE("a candidate of out is as likely as its errors, less what it costs", "[choice]") {
  const by_hand::Rows rows({{.row = 0, .out_error = 1.0}, {.row = 1, .out_error = 2.0}});
  auto candidate = predicting({{1.0}, {1.0}});
  candidate.cost = 3.0;
  const auto one = diagnose::explain_with(rows.context, candidate, rows.context.rows);
  double best = -std::numeric_limits<double>::infinity();
  for (const double factor : {0.64, 1.0, 1.6}) {
    best = std::max(best, -0.5 * (5.0 / factor + 2.0 * std::log(factor * 1e-4)));
  }
  CHECK(one.total == Approx(best - 3.0));
  CHECK(one.lse_explained);
  CHECK(one.score.out_ratio == Approx(std::sqrt(2.5)));
  // Of one row alone.
  const auto first = diagnose::explain_with(rows.context, candidate, std::vector<std::size_t>{0});
  CHECK(first.total == Approx(term(1.0, 1e-4) - 3.0));
}

TEST_CASE("a candidate that predicts no row explains nothing", "[choice]") {
  const by_hand::Rows rows(std::vector<by_hand::RowOf>(1));
  const auto one =
      diagnose::explain_with(rows.context, predicting({{.out = std::nan("")}}), rows.context.rows);
  CHECK(one.total == -std::numeric_limits<double>::infinity());
}

TEST_CASE("a candidate of few rows counts as if it had predicted all", "[choice]") {
  const by_hand::Rows rows({{.row = 0, .out_error = 1.0}, {.row = 1}, {.row = 2}});
  auto candidate = predicting({{1.0}, {.out = std::nan("")}, {.out = std::nan("")}});
  candidate.cost = 3.0;
  const auto total = [&] {
    return diagnose::explain_with(rows.context, candidate, rows.context.rows).total;
  };
  CHECK(total() == Approx(term(1.0, 1e-4) - 3.0));
  candidate.few_rows = true;
  CHECK(total() == Approx(3.0 * term(1.0, 1e-4) - 3.0));
}

TEST_CASE("lse that follows counts as out does", "[choice]") {
  const by_hand::Rows rows(rows_of_lse({2.0, -1.0}), {.lse = true});
  auto candidate = predicting({{1.0, 2.001, 1.0}, {1.0, -1.001, -2.0}});
  candidate.cost = 3.0;
  const auto one = diagnose::explain_with(rows.context, candidate, rows.context.rows);
  CHECK(one.lse_explained);
  CHECK(one.lse_parts.empty());
  CHECK(one.lse_text == "lse follows");
  CHECK(one.lse_cost == 0.0);
  CHECK(one.total == Approx(2.0 * term(1.0, 1e-4) + 2.0 * term(1.0, 1e-6) - 3.0));
  CHECK(one.score.lse_ratio == Approx(1.0));
}

TEST_CASE("lse that nothing explains costs 3 a row and 4, in few rows as many times", "[choice]") {
  const by_hand::Rows rows(rows_of_lse({7.0, -5.0, 1.0, 1.0}), {.lse = true});
  const double undefined = std::nan("");
  auto candidate = predicting(
      {{1.0, 0.5, 0.25}, {1.0, 0.75, 0.5}, {undefined, 0.0, 0.0}, {undefined, 0.0, 0.0}});
  candidate.cost = 3.0;
  auto one = diagnose::explain_with(rows.context, candidate, rows.context.rows);
  CHECK_FALSE(one.lse_explained);
  CHECK(one.lse_text.empty());
  CHECK(one.total == Approx(2.0 * term(1.0, 1e-4) - 2.0 * 3.0 - 3.0 - 4.0));
  candidate.few_rows = true;
  one = diagnose::explain_with(rows.context, candidate, rows.context.rows);
  CHECK(one.total == Approx(2.0 * (2.0 * term(1.0, 1e-4) - 2.0 * 3.0) - 3.0 - 4.0));
}

TEST_CASE("lse of another base costs 3, and the rule that is likeliest explains it", "[choice]") {
  const double log2e = 1.0 / std::log(2.0);
  const by_hand::Rows rows(rows_of_lse({2.0 * log2e, -1.0 * log2e}), {.lse = true});
  auto candidate = predicting({{1.0, 2.0, 1.0}, {1.0, -1.0, -2.0}});
  candidate.cost = 3.0;
  const auto one = diagnose::explain_with(rows.context, candidate, rows.context.rows);
  REQUIRE(one.lse_parts.size() == 1);
  CHECK(one.lse_parts.front().id == "lse.base2");
  CHECK(one.lse_cost == 3.0);
  CHECK(one.cost() == 6.0);
  CHECK(one.parts() == 2);
  CHECK(one.lse_explained);
  CHECK(one.lse_text == "lse is log2 e = 1.442695 times the natural one in every row");
  CHECK(one.total
        == Approx(-(2.0 * std::log(1e-4) + 2.0 * std::log(0.64e-6)) / 2.0 - 1.0 / 0.64
                  - std::log(0.64) - 6.0));
}

TEST_CASE("what rounding does to a largest logit counts as often as lse has it", "[choice]") {
  // Off by 1/2 max, and by ±0.001 that no part of it explains.
  const by_hand::Rows rows(rows_of_lse({2.501, 2.499, 4.001, 3.999}), {.lse = true});
  const auto one = diagnose::explain_with(
      rows.context,
      predicting({{1.0, 2.0, 1.0}, {1.0, 2.0, 1.0}, {1.0, 3.0, 2.0}, {1.0, 3.0, 2.0}}, 0.0, 8e-6),
      rows.context.rows);
  REQUIRE(one.lse_parts.size() == 1);
  CHECK(one.lse_parts.front().id == "lse.max_export");
  // 1e-6 of lse and a quarter of 8e-6.
  CHECK(one.score.lse_ratio == Approx(1.0 / std::sqrt(3.0)));
}

TEST_CASE("where logits were rounded a maximum is off by 0.6 % or not at all", "[choice]") {
  const auto explained_at = [](double coarseness, double slope) {
    auto of_rows = rows_of_lse({2.0 + slope, 2.0 + slope, 3.0 + 2.0 * slope, 3.0 + 2.0 * slope});
    const double coarse = 0.01;
    for (auto& row : of_rows) {
      row.out_error = coarseness * 0.1 / by_hand::k_out_error;
    }
    const by_hand::Rows rows(of_rows, {.lse = true});
    auto candidate =
        predicting({{1.0, 2.0, 1.0}, {1.0, 2.0, 1.0}, {1.0, 3.0, 2.0}, {1.0, 3.0, 2.0}}, coarse);
    candidate.direct = [predict = candidate.direct](const diagnose::Row& row) {
      auto prediction = predict(row);
      prediction.fine = 1e-12; // All error is coarse.
      prediction.lse_fine = 1e-12;
      return prediction;
    };
    const auto one = diagnose::explain_with(rows.context, candidate, rows.context.rows);
    CHECK(one.score.coarseness == coarseness);
    return !one.lse_parts.empty();
  };
  CHECK(explained_at(0.1, 5.9e-3));
  CHECK_FALSE(explained_at(0.2, 5.9e-3));
  CHECK(explained_at(0.2, 6.1e-3));
}

TEST_CASE("lse in another order counts 10 a row, where it is within six errors", "[choice]") {
  using namespace simulator;
  Settings settings;
  settings.heads = 2;
  settings.queries = 6;
  const auto simulation = simulate(settings, "lse.transposed");
  const auto explained = [&](double errors) {
    Examined examined(simulation);
    diagnose::Candidate expected;
    expected.mechanism = examined.context.reference;
    for (auto& row : examined.sample.rows) {
      const auto right = examined.predictor.predict(expected.mechanism, row);
      row.lse += errors * std::sqrt(right.lse_fine + right.lse_coarse);
    }
    const auto one = diagnose::explain_with(examined.context, expected, examined.context.rows);
    const auto found = diagnose::outcomes(
        examined.sample,
        [&](const auto& row) { return examined.predictor.predict(expected.mechanism, row); },
        examined.context.rows);
    const double of_out = diagnose::score(examined.sample, found, {}).likelihood;
    CHECK(one.total == Approx(of_out - 3.0 * 12.0 - 4.0 + (one.lse_explained ? 10.0 * 12.0 : 0.0)));
    if (one.lse_explained) {
      REQUIRE(one.lse_parts.size() == 1);
      CHECK(one.lse_parts.front().id == "lse.transposed");
      CHECK(one.lse_text == "lse was written as [H, T] and is read as [T, H]");
      CHECK(one.lse_cost == 4.0);
      CHECK(one.score.lse_ratio == Approx(errors).margin(0.1));
    }
    return one.lse_explained;
  };
  CHECK(explained(0.0));
  CHECK(explained(5.8));
  CHECK_FALSE(explained(6.2));
}

TEST_CASE("the expectation and linear bugs settle a capture whose scale is wrong", "[choice]") {
  using namespace simulator;
  Settings settings;
  settings.heads = 1;
  settings.queries = 24;
  const Examined scaled(simulate(settings, "scale.latent_width"));
  const auto found = diagnose::explain_linearly(scaled.context);
  REQUIRE_FALSE(found.empty());
  CHECK(found.front().candidate.parts.front().id == "scale.latent_width");
  CHECK(std::count_if(found.begin(), found.end(),
                      [](const auto& one) { return one.candidate.parts.empty(); })
        == 1);
  CHECK(std::is_sorted(found.begin(), found.end(),
                       [](const auto& a, const auto& b) { return a.total > b.total; }));
  const Examined masked(simulate(settings, "mask.none"));
  CHECK(diagnose::explain_linearly(masked.context).empty());
}

TEST_CASE("rows that no candidate predicts have no explanation", "[choice]") {
  by_hand::Rows rows(std::vector<by_hand::RowOf>(1));
  rows.sample.rows[0].visible = 0;
  CHECK(diagnose::explain(rows.context).empty());
  CHECK(diagnose::explain_linearly(rows.context).empty());
}

TEST_CASE("keys are looked at where linear bugs do not settle it, all else where keys do not",
          "[choice]") {
  using namespace simulator;
  Settings settings;
  settings.heads = 2;
  settings.queries = 20;
  const auto first = [&](const std::string& bug, bool out = true) {
    auto simulation = simulate(settings, bug);
    if (!out) {
      simulation.capture.out.reset();
    }
    const Examined examined(simulation);
    const auto found = diagnose::explain(examined.context);
    REQUIRE_FALSE(found.empty());
    CHECK(std::is_sorted(found.begin(), found.end(),
                         [](const auto& a, const auto& b) { return a.total > b.total; }));
    const auto& parts = found.front().candidate.parts;
    return parts.empty() ? "" : parts.front().id;
  };
  CHECK(first("healthy").empty());
  CHECK(first("scale.latent_width") == "scale.latent_width");
  CHECK(first("mask.window") == "mask.window");
  CHECK(first("value.split_swapped") == "value.split_swapped");
  CHECK(first("softmax.padding_lanes", false) == "softmax.padding_lanes");
}
