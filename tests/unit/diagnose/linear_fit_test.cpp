#include "examined.hpp"

#include <mla_scale/diagnose/linear_fit.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Newton's method: with the right derivatives one step from a distance d of the minimum ends at a
// distance of order d², with wrong ones at a part of d. Captures are of the simulated kernel, which
// shares no code with the fit.

using namespace mla_scale;
using diagnose::Factors;
using diagnose::FitSource;

namespace {

constexpr double k_distance = 1e-3;

struct Direction {
  std::string name;
  diagnose::FitDirections columns;
  Factors start; ///< k_distance off in what the direction moves, right in the rest
  bool moves_out_alone = false;
};

std::vector<Direction> all_directions() {
  const double off = 1.0 + k_distance;
  return {{"scale", diagnose::along_scale(), {off, off, 1.0}},
          {"nope", diagnose::along_nope(), {off, 1.0, 1.0}},
          {"rope", diagnose::along_rope(), {1.0, off, 1.0}},
          {"nope and rope", diagnose::along_nope_and_rope(), {off, 2.0 - off, 1.0}},
          {"gain", diagnose::along_gain(), {1.0, 1.0, off}, true},
          {"latent", diagnose::along_latent(), {off, 1.0, off}, true},
          {"scale and gain", diagnose::along_scale_and_gain(), {off, off, 2.0 - off}, true},
          {"everything", diagnose::along_everything(), {off, 2.0 - off, off}, true}};
}

double distance(const Factors& factors) {
  return std::max(
      {std::abs(factors.nope - 1.0), std::abs(factors.rope - 1.0), std::abs(factors.gain - 1.0)});
}

std::optional<diagnose::LinearFit> fit(const simulator::Examined& examined, FitSource source,
                                       const diagnose::FitDirections& directions,
                                       const Factors& start, int iterations = 25) {
  const auto& context = examined.context;
  return diagnose::fit_factors(context.predictor, context.reference, context.rows, source,
                               directions, start, iterations);
}

} // namespace

TEST_CASE("one step of a fit squares the distance to the minimum, along every direction") {
  simulator::Settings settings;
  settings.dtype = tensor::Dtype::f32;
  settings.wide_output = true;
  const simulator::Examined examined(simulator::simulate(settings, "healthy"));
  for (const Direction& direction : all_directions()) {
    for (const FitSource source : {FitSource::out, FitSource::lse}) {
      if (source == FitSource::lse && direction.moves_out_alone) {
        continue; // lse does not depend on the gain of out
      }
      INFO(direction.name << " from " << (source == FitSource::out ? "out" : "lse"));
      const auto found = fit(examined, source, direction.columns, direction.start, 1);
      REQUIRE(found);
      CHECK(distance(found->factors) < 0.02 * k_distance);
    }
  }
}

TEST_CASE("a step knows the model's own factors of queries") {
  simulator::Settings settings;
  settings.dtype = tensor::Dtype::f32;
  settings.wide_output = true;
  simulator::Examined examined(simulator::simulate(settings, "healthy"));
  for (auto& row : examined.sample.rows) {
    row.factor = 1.3;
  }
  examined.context.reference.scale /= 1.3; // the logits stay
  const double off = 1.0 + k_distance;
  for (const FitSource source : {FitSource::out, FitSource::lse}) {
    const auto found = fit(examined, source, diagnose::along_scale(), {off, off, 1.0}, 1);
    REQUIRE(found);
    CHECK(distance(found->factors) < 0.02 * k_distance);
  }
}

TEST_CASE("a scale fitted from out is off by less than three of its errors, however few the rows") {
  simulator::Settings settings;
  settings.heads = 1;
  settings.prefix = 12;
  settings.spread = 0.5;
  for (const std::int64_t queries : {1, 2, 6}) {
    settings.queries = queries;
    double squares = 0.0;
    constexpr unsigned k_captures = 60;
    for (settings.seed = 1; settings.seed <= k_captures; ++settings.seed) {
      const simulator::Examined examined(simulator::simulate(settings, "healthy"));
      const auto found = fit(examined, FitSource::out, diagnose::along_scale(), {});
      REQUIRE(found);
      const double errors = (found->factors.nope - 1.0) / found->standard_errors.front();
      INFO(queries << " rows, seed " << settings.seed);
      CHECK(std::abs(errors) < 3.0);
      squares += errors * errors;
    }
    CHECK(std::sqrt(squares / k_captures) < 1.0);
  }
}

TEST_CASE("the error of a fit is that of rows which do not see themselves") {
  // Four rows of one key, whose lse is its logit x: captured x · (1 ± 0.001). Each pulls by 0.001,
  // 4/3 of it without its own part: the variance is 4 · (0.001 · 4/3)² / 4², times the square of
  // few_rows_factor(3).
  simulator::Settings settings;
  settings.heads = 1;
  settings.queries = 1;
  simulator::Examined examined(simulator::simulate(settings, "healthy"));
  auto& rows = examined.sample.rows;
  rows.assign(4, rows.front());
  const double logit = examined.predictor.predict(examined.context.reference, rows.front()).lse;
  for (std::size_t at = 0; at < rows.size(); ++at) {
    rows[at].lse = logit * (at % 2 == 0 ? 1.001 : 0.999);
  }
  examined.context.rows = {0, 1, 2, 3};
  const auto found = fit(examined, FitSource::lse, diagnose::along_scale(), {});
  REQUIRE(found);
  const double expected = (1.0 + 2.5 / 3 + 5.75 / 9) * std::sqrt(4.0) * (0.001 * 4 / 3) / 4.0;
  CHECK(found->standard_errors.front() == Approx(expected).epsilon(1e-2));
}

TEST_CASE("a scale is looked for from a sixtieth to sixty times, in steps of a fifth", "[parts]") {
  simulator::Settings settings;
  settings.heads = 1;
  const simulator::Examined examined(simulator::simulate(settings, "healthy"));
  for (const double truth : {1.0 / 55.0, 0.3, 1.0, 7.0, 55.0}) {
    auto mechanism = examined.context.reference;
    mechanism.scale /= truth;
    for (const FitSource source : {FitSource::lse, FitSource::out}) {
      const auto starts =
          diagnose::scale_starts(examined.predictor, mechanism, examined.context.rows, source, 1);
      REQUIRE_FALSE(starts.empty());
      CHECK(starts.size() <= 3);
      CHECK(std::abs(std::log(starts.front() / truth)) < std::log(60.0) / 24.0);
    }
  }
}

TEST_CASE("a scale beyond the grid starts at its end", "[parts]") {
  const simulator::Examined examined(simulator::simulate({}, "healthy"));
  for (const double truth : {1.0 / 200.0, 200.0}) {
    auto mechanism = examined.context.reference;
    mechanism.scale /= truth;
    const auto starts = diagnose::scale_starts(examined.predictor, mechanism, examined.context.rows,
                                               FitSource::lse, 1);
    REQUIRE_FALSE(starts.empty());
    CHECK(starts.front() == Approx(truth < 1.0 ? 1.0 / 60.0 : 60.0));
  }
}

TEST_CASE("rows without out or lse give no fit from it", "[parts]") {
  simulator::Examined examined(simulator::simulate({}, "healthy"));
  for (auto& row : examined.sample.rows) {
    row.has_lse = false;
  }
  CHECK_FALSE(fit(examined, FitSource::lse, diagnose::along_scale(), {}));
  CHECK(fit(examined, FitSource::out, diagnose::along_scale(), {}));
}

TEST_CASE("the best of several starts is fitted, unless what it leaves is no rounding", "[parts]") {
  // Twenty times the roundings of a healthy kernel: their square is 400.
  simulator::Settings settings;
  settings.heads = 1;
  const std::vector<Factors> starts = {{40.0, 40.0, 1.0}, {1.1, 1.1, 1.0}, {0.02, 0.02, 1.0}};
  const simulator::Examined examined(simulator::simulate(settings, "healthy"));
  const auto& context = examined.context;
  const auto found =
      diagnose::fit_from_starts(context.predictor, context.reference, context.probe, context.rows,
                                FitSource::out, diagnose::along_scale(), starts);
  REQUIRE(found);
  CHECK(found->factors.nope == Approx(1.0).margin(1e-3));
  CHECK(found->converged);
  simulator::Settings two = settings;
  two.heads = 2;
  const simulator::Examined permuted(simulator::simulate(two, "value.head_permuted"));
  CHECK_FALSE(diagnose::fit_from_starts(permuted.context.predictor, permuted.context.reference,
                                        permuted.context.probe, permuted.context.rows,
                                        FitSource::out, diagnose::along_scale(), starts));
}

TEST_CASE("sources are lse before out, of those that there are", "[parts]") {
  diagnose::Sample sample;
  CHECK(diagnose::sources_of(sample).empty());
  sample.any_out = true;
  CHECK(diagnose::sources_of(sample) == std::vector{FitSource::out});
  sample.any_lse = true;
  CHECK(diagnose::sources_of(sample) == std::vector{FitSource::lse, FitSource::out});
}
