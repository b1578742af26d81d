#include "support/catch.hpp"
#include "support/kernel.hpp"

#include <mla_scale/compare/level_test.hpp>

#include <bit>
#include <cmath>
#include <limits>

using namespace mla_scale;
using namespace mla_scale::compare;

TEST_CASE("numbers round to nearest, ties to even", "[compare][level]") {
  // By hand: bf16 has 8 significant bits, so 1 + 2^-8 is a tie between 1 and 1 + 2^-7.
  CHECK(round_to(Rounding::bf16, 1.0 + 0x1p-8) == 1.0);
  CHECK(round_to(Rounding::bf16, 1.0 + 3 * 0x1p-8) == 1.0 + 0x1p-6);
  CHECK(round_to(Rounding::bf16, 1.0 + 0x1p-8 + 0x1p-30) == 1.0 + 0x1p-7);
  CHECK(round_to(Rounding::bf16, 0.1) == 0.10009765625);
  CHECK(round_to(Rounding::f16, 0.1) == 0.0999755859375);
  CHECK(round_to(Rounding::tf32, 1.0 + 0x1p-11) == 1.0);
  CHECK(round_to(Rounding::tf32_cut, 1.0 + 0x1.8p-10) == 1.0 + 0x1p-10);
  CHECK(round_to(Rounding::tf32, 1.0 + 0x1.8p-10) == 1.0 + 0x1p-9);
  CHECK(round_to(Rounding::bf16_cut, 1.0 + 0x1.8p-7) == 1.0 + 0x1p-7);
  CHECK(round_to(Rounding::f16_cut, -0x1.8p-24) == -0x1p-24);
  CHECK(round_to(Rounding::f32, 0.1) == static_cast<double>(0.1F));
  CHECK(round_to(Rounding::none, 0.1) == 0.1);
  CHECK(round_to(Rounding::bf16, -1.99999) == -2.0);
}

TEST_CASE("small and large numbers round as the formats say", "[compare][level]") {
  // fp16: smallest subnormal 2^-24, largest 65504. e4m3fn: 2^-9 and 448, without infinities.
  CHECK(round_to(Rounding::f16, 0x1p-24) == 0x1p-24);
  CHECK(round_to(Rounding::f16, 0x1p-26) == 0.0);
  CHECK(std::isinf(round_to(Rounding::f16, 70000.0)));
  CHECK(round_to(Rounding::e4m3, 0x1p-9) == 0x1p-9);
  CHECK(round_to(Rounding::e4m3, 0.3 * 0x1p-9) == 0.0);
  CHECK(round_to(Rounding::e4m3, 1000.0) == 448.0);
  CHECK(round_to(Rounding::e4m3, 0.0703125) == 0.0703125);
  CHECK(std::isnan(round_to(Rounding::bf16, std::nan(""))));
  CHECK(round_to(Rounding::bf16, -std::numeric_limits<double>::infinity())
        == -std::numeric_limits<double>::infinity());
}

TEST_CASE("bf16 rounding agrees with rounding by bits", "[compare][level]") {
  for (const double value : tensors::numbers(21, 1000, 37.0)) {
    CHECK(round_to(Rounding::bf16, value / 3) == kernel::to_bf16(value / 3));
  }
}

TEST_CASE("16-bit inputs may be computed eagerly and float32 inputs may not", "[compare][level]") {
  using tensor::Dtype;
  const auto bf16 = levels_for({Dtype::bf16, Dtype::bf16});
  CHECK(std::find(bf16.begin(), bf16.end(), Level::eager) != bf16.end());
  const auto f32 = levels_for({Dtype::f32, Dtype::f32});
  CHECK(f32 == std::vector<Level>{Level::exact, Level::tf32, Level::tf32_cut});
}

TEST_CASE("what is larger than a format's largest number becomes infinite", "[compare][level]") {
  // Largest: e5m2 1.75 · 2^15, float32 and bf16 and TF32 (2 - one step) · 2^127, rounded from below
  // the next power of two.
  CHECK(round_to(Rounding::e5m2, 57344.0) == 57344.0);
  CHECK(round_to(Rounding::e5m2, 61439.0) == 57344.0);
  for (const double sign : {1.0, -1.0}) {
    const double infinite = sign * std::numeric_limits<double>::infinity();
    CHECK(round_to(Rounding::e5m2, sign * 65536.0) == infinite);
    for (const Rounding rounding : {Rounding::f32, Rounding::bf16, Rounding::tf32}) {
      CHECK(round_to(rounding, sign * 0x1p128) == infinite);
      CHECK(round_to(rounding, sign * 0x1p127) == sign * 0x1p127);
    }
  }
  const auto largest = static_cast<double>(std::numeric_limits<float>::max());
  CHECK(round_to(Rounding::f32, largest) == largest);
}

TEST_CASE("below 2^-126 TF32 has steps of 2^-136, as float32 has of 2^-149", "[compare][level]") {
  CHECK(round_to(Rounding::tf32, 0x1.008p-127) == 0x1.008p-127);
  CHECK(round_to(Rounding::tf32, 0x1.004p-127) == 0x1p-127); // halfway, to even
  CHECK(round_to(Rounding::tf32_cut, 0x1.004p-127) == 0x1p-127);
  CHECK(round_to(Rounding::f32, 0x1.000001p-127) == 0x1p-127);
}

TEST_CASE("NaN, infinities and zeros stay what they are", "[compare][level]") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(round_to(Rounding::e4m3, infinity) == infinity);
  CHECK(std::isnan(round_to(Rounding::bf16_cut, std::bit_cast<double>(0x7FF0000000000001ULL))));
  CHECK(std::signbit(round_to(Rounding::f16, -0.0)));
}

TEST_CASE("a level allows the scale what its arithmetic takes, and not twice that",
          "[compare][level_test]") {
  using tensor::Dtype;
  // Cutting both operands to 10 bits takes less than 2^-10 each; sums of some 14 bits about 2^-12.
  const double tf32 = scale_allowance(Level::tf32_cut, {Dtype::f32, Dtype::f32}, false);
  CHECK(tf32 > 2 * 0x1p-10);
  CHECK(tf32 < 3 * 0x1p-10);
  const double float8 = scale_allowance(Level::flash, {Dtype::f8_e4m3fn, Dtype::bf16}, false);
  CHECK(float8 > 0x1p-12);
  CHECK(float8 < 2 * 0x1p-12);
}

TEST_CASE("a fitted scale may be off by what arithmetic of the level is off by in one direction",
          "[compare][level_test]") {
  using tensor::Dtype;
  // Sums in float32: a few 1e-5, less in lse, which no rounding of probabilities moves. Cutting the
  // probabilities to bf16 or f16 leaves the largest, 1, as it is: half of 2^-8 or 2^-11. Operands
  // cut to TF32 lose up to 2^-11 each. Tensor cores sum fp8 in some 14 bits, measured on an H100.
  const ComputeDtypes bf16{Dtype::bf16, Dtype::bf16};
  const ComputeDtypes f16{Dtype::f16, Dtype::f16};
  const ComputeDtypes float8{Dtype::f8_e4m3fn, Dtype::bf16};
  for (const Level level : {Level::exact, Level::flash}) {
    CHECK(scale_allowance(level, bf16, true) == 1e-5);
    CHECK(scale_allowance(level, bf16, false) == 2e-5);
    CHECK(scale_allowance(level, float8, true) == 3e-4);
  }
  for (const bool from_lse : {true, false}) {
    CHECK(scale_allowance(Level::eager, bf16, from_lse) == 2e-5);
    CHECK(scale_allowance(Level::tf32, {Dtype::f32, Dtype::f32}, from_lse) == 2e-3);
    CHECK(scale_allowance(Level::fp8, float8, from_lse) == 5e-3);
  }
  CHECK(scale_allowance(Level::flash_cut, bf16, true) == 1e-5);
  CHECK(scale_allowance(Level::flash_cut, bf16, false) == std::ldexp(1.0, -9));
  CHECK(scale_allowance(Level::flash_cut, f16, false) == std::ldexp(1.0, -12));
}
