// Rounding a logit to steps of `step` leaves a sawtooth, Σ_k step/(πk) sin(2πk l/step), and a
// normal logit of deviation σ leaves exp(-2π²k²σ²/step²) of its k-th term: the characteristic
// function.
#include "support/catch.hpp"

#include <mla_scale/compare/rounding_bias.hpp>

#include <cmath>

using namespace mla_scale::compare;

namespace {

constexpr double k_step = 0x1p-7; // bf16

RowSpread row_of(double logits) {
  RowSpread row;
  row.logits = logits;
  row.weighted = 0.1;
  row.telling = true;
  row.information = 1.0;
  return row;
}

} // namespace

TEST_CASE("logits that spread over half a step leave the first term of the sawtooth",
          "[compare][rounding_bias]") {
  const RoundingBias bias = rounding_bias({row_of(k_step / 2)}, k_step);
  // exp(-π²/2) = 0.007191883, over π: 0.002289247; the second term is 2.7e-9.
  CHECK(bias.gain == Approx(0.002289247 * k_step).epsilon(1e-5));
  // The slope of the sawtooth: each term is 2 instead of step/(πk).
  CHECK(bias.scale == Approx(0.014383766).epsilon(1e-5));
}

TEST_CASE("logits within one step leave at most half a step", "[compare][rounding_bias]") {
  const RoundingBias bias = rounding_bias({row_of(0.0)}, k_step);
  CHECK(bias.gain == Approx(k_step / 2));
  CHECK(bias.scale == Approx(k_step / 2 / 0.1));
}

TEST_CASE("rows of a few logits count only where no row has more", "[compare][rounding_bias]") {
  RowSpread few = row_of(0.0);
  few.telling = false;
  const RoundingBias both = rounding_bias({row_of(k_step / 2), few}, k_step);
  CHECK(both.gain == Approx(0.002289247 * k_step).epsilon(1e-5));
  CHECK(rounding_bias({few}, k_step).gain == Approx(k_step / 2));
}

TEST_CASE("logits within a tenth of a step leave all harmonics", "[compare][rounding_bias]") {
  // Σ exp(-0.02 π² k²) / k for k = 1 .. 7: 0.820869 + 0.227020 + 0.056408 + 0.010625 + 0.001438 +
  // 0.000137 + 0.000009 = 1.116506, over π.
  const RoundingBias bias = rounding_bias({row_of(0.1 * k_step)}, k_step);
  CHECK(bias.gain == Approx(0.355395 * k_step).epsilon(1e-5));
}

TEST_CASE("a row of one key says nothing of the rounding", "[compare][rounding_bias]") {
  RowSpread few = row_of(k_step / 2);
  few.telling = false;
  const RoundingBias both = rounding_bias({few, RowSpread{}}, k_step);
  CHECK(both.gain == Approx(0.002289247 * k_step).epsilon(1e-5));
  CHECK(rounding_bias({RowSpread{}}, k_step).gain == 0.0);
}

TEST_CASE("two logits spread as two weighted numbers do", "[compare][rounding_bias]") {
  // Logits ln 3 and 0, nope and rope together, have the probabilities 3/4 and 1/4: the deviation
  // ln 3 / 2 as they are, ln 3 · sqrt(3/16) weighted, and with squared weights 1 and 1/9 about the
  // weighted mean (1/16 + 9/16 / 9) / (10/9) · ln²3 = 9/80 · ln²3.
  RowSample sample;
  sample.nope = {0.5, 2.0 * std::log(3.0) - 1.0};
  sample.rope = {-0.5, 1.0};
  const auto spreads = row_spreads({sample}, 0.5);
  REQUIRE(spreads.size() == 1);
  CHECK(spreads[0].logits == Approx(std::log(3.0) / 2.0).epsilon(1e-12));
  CHECK(spreads[0].weighted == Approx(std::log(3.0) * std::sqrt(3.0 / 16.0)).epsilon(1e-12));
  CHECK(spreads[0].information == Approx(std::pow(std::log(3.0), 2) * 9.0 / 80.0).epsilon(1e-12));
  CHECK(!spreads[0].telling);
}

TEST_CASE("of eight logits the spread is that of their quartiles", "[compare][rounding_bias]") {
  // Of 0, 2, .. 14 a quarter lies below 4 and a quarter above 10; a normal distribution's quartiles
  // are 1.349 deviations apart.
  RowSample sample;
  sample.nope = {14.0, 2.0, 10.0, 0.0, 4.0, 12.0, 6.0, 8.0};
  sample.rope.resize(8);
  const auto spreads = row_spreads({sample}, 1.0);
  CHECK(spreads[0].telling);
  CHECK(spreads[0].logits == Approx(6.0 / 1.349).epsilon(1e-12));
  sample.nope.resize(1);
  sample.rope.resize(1);
  CHECK(row_spreads({sample}, 1.0)[0].weighted == 0.0);
}

TEST_CASE("of seven logits the spread is that of all of them", "[compare][rounding_bias]") {
  // The variance of 0, 1, .. 6 is (7² - 1) / 12 = 4.
  RowSample sample;
  sample.nope = {3.0, 0.0, 6.0, 1.0, 5.0, 2.0, 4.0};
  sample.rope.resize(7);
  const auto spreads = row_spreads({sample}, 3.0);
  CHECK(!spreads[0].telling);
  CHECK(spreads[0].logits == Approx(6.0).epsilon(1e-12));
}

TEST_CASE("of nine logits two lie below the quartiles and two above", "[compare][rounding_bias]") {
  // Squares 0, 1, .. 64: from 4 to 36.
  RowSample sample;
  sample.nope = {64.0, 1.0, 25.0, 0.0, 4.0, 36.0, 9.0, 16.0, 49.0};
  sample.rope.resize(9);
  CHECK(row_spreads({sample}, 1.0)[0].logits == Approx(32.0 / 1.349).epsilon(1e-12));
}

TEST_CASE("small spreads about a large logit keep their digits", "[compare][rounding_bias]") {
  RowSample sample;
  sample.nope = {-1e6, std::log(3.0) - 1e6};
  sample.rope.resize(2);
  const auto spreads = row_spreads({sample}, 1.0);
  CHECK(spreads[0].logits == Approx(std::log(3.0) / 2.0).epsilon(1e-8));
  CHECK(spreads[0].weighted == Approx(std::log(3.0) * std::sqrt(3.0 / 16.0)).epsilon(1e-8));
}

TEST_CASE("rows without keys spread nothing", "[compare][rounding_bias]") {
  const auto spreads = row_spreads({RowSample{}}, 1.0);
  REQUIRE(spreads.size() == 1);
  CHECK(spreads[0].logits == 0.0);
  CHECK(spreads[0].weighted == 0.0);
  CHECK(spreads[0].information == 0.0);
  CHECK(!spreads[0].telling);
}

TEST_CASE("the bias of a scale is a mean weighted by what rows tell, that of a gain a plain one",
          "[compare][rounding_bias]") {
  RowSpread blind = row_of(0.0); // leaves half a step: of the scale five
  blind.information = 3.0;
  RowSpread wide = row_of(100.0 * k_step); // leaves nothing
  wide.information = 1.0;
  const RoundingBias both = rounding_bias({blind, wide}, k_step);
  CHECK(both.scale == Approx(0.75 * 5.0 * k_step).epsilon(1e-12));
  CHECK(both.gain == Approx(0.5 * 0.5 * k_step).epsilon(1e-12));
  blind.information = 0.5;
  CHECK(rounding_bias({blind}, k_step).scale == Approx(5.0 * k_step).epsilon(1e-12));
}

TEST_CASE("no rounding and no rows make no bias", "[compare][rounding_bias]") {
  for (const double logits : {0.0, 1.0}) {
    const RoundingBias none = rounding_bias({row_of(logits)}, 0.0);
    CHECK(none.scale == 0.0);
    CHECK(none.gain == 0.0);
  }
  const RoundingBias empty = rounding_bias({}, k_step);
  CHECK(empty.scale == 0.0);
  CHECK(empty.gain == 0.0);
}

TEST_CASE("64 terms of the sawtooth are added up", "[compare][rounding_bias]") {
  // Of equal logits each is 2; so small a weighted spread leaves the sum below half a step over it.
  RowSpread row = row_of(0.0);
  row.weighted = 1e-6;
  CHECK(rounding_bias({row}, k_step).scale == Approx(128.0).epsilon(1e-12));
}
