// Rounding a logit to steps of `step` leaves a sawtooth, Σ_k step/(πk) sin(2πk l/step), and a
// normal logit of deviation σ leaves exp(-2π²k²σ²/step²) of its k-th term: the characteristic
// function.
#include "support/catch.hpp"

#include <mla_scale/compare/rounding_bias.hpp>

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
          "[rounding_bias]") {
  const RoundingBias bias = rounding_bias({row_of(k_step / 2)}, k_step);
  // exp(-π²/2) = 0.007191883, over π: 0.002289247; the second term is 2.7e-9.
  CHECK(bias.gain == Approx(0.002289247 * k_step).epsilon(1e-5));
  // The slope of the sawtooth: each term is 2 instead of step/(πk).
  CHECK(bias.scale == Approx(0.014383766).epsilon(1e-5));
}

TEST_CASE("logits within one step leave at most half a step", "[rounding_bias]") {
  const RoundingBias bias = rounding_bias({row_of(0.0)}, k_step);
  CHECK(bias.gain == Approx(k_step / 2));
  CHECK(bias.scale == Approx(k_step / 2 / 0.1));
}

TEST_CASE("rows of a few logits count only where no row has more", "[rounding_bias]") {
  RowSpread few = row_of(0.0);
  few.telling = false;
  const RoundingBias both = rounding_bias({row_of(k_step / 2), few}, k_step);
  CHECK(both.gain == Approx(0.002289247 * k_step).epsilon(1e-5));
  CHECK(rounding_bias({few}, k_step).gain == Approx(k_step / 2));
}
