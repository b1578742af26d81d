// Levels and number formats, row by row of their tables.
#include "support/catch.hpp"

#include <mla_scale/compare/level.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

/// Bits after the point of normal numbers, the smallest normal number and the largest one of a
/// format, from IEEE 754, the OCP 8-bit formats, and what bf16 and TF32 have of float32.
struct FormatByHand {
  Rounding rounding;
  bool cut;
  double unit; ///< between 1 and the next number
  double smallest;
  double largest;
  double beyond; ///< what larger numbers become
};

constexpr double k_overflow = std::numeric_limits<double>::infinity();

const std::vector<FormatByHand>& formats_by_hand() {
  static const std::vector<FormatByHand> formats = {
      {Rounding::f32, false, 0x1p-23, 0x1p-126, 0x1.fffffep127, k_overflow},
      {Rounding::tf32, false, 0x1p-10, 0x1p-126, 0x1.ffcp127, k_overflow},
      {Rounding::tf32_cut, true, 0x1p-10, 0x1p-126, 0x1.ffcp127, k_overflow},
      {Rounding::bf16, false, 0x1p-7, 0x1p-126, 0x1.fep127, k_overflow},
      {Rounding::bf16_cut, true, 0x1p-7, 0x1p-126, 0x1.fep127, k_overflow},
      {Rounding::f16, false, 0x1p-10, 0x1p-14, 65504.0, k_overflow},
      {Rounding::f16_cut, true, 0x1p-10, 0x1p-14, 65504.0, k_overflow},
      {Rounding::e4m3, false, 0x1p-3, 0x1p-6, 448.0, 448.0},
      {Rounding::e5m2, false, 0x1p-2, 0x1p-14, 57344.0, k_overflow},
  };
  return formats;
}

} // namespace

TEST_CASE("normal numbers of every format have its bits", "[compare][level]") {
  for (const FormatByHand& format : formats_by_hand()) {
    for (const double size : {format.smallest, 0.5, -1.0, 8.0}) {
      INFO(static_cast<int>(format.rounding) << " " << size);
      const auto rounded = [&](double units) {
        return round_to(format.rounding, size * (1.0 + units * format.unit)) / size;
      };
      CHECK(rounded(0.0) == 1.0);
      CHECK(rounded(1.0) == 1.0 + format.unit);
      CHECK(rounded(0.5) == 1.0); // to even
      CHECK(rounded(0.75) == 1.0 + (format.cut ? 0.0 : format.unit));
      CHECK(rounded(1.5) == 1.0 + (format.cut ? 1.0 : 2.0) * format.unit);
      CHECK(rounded(1.25) == 1.0 + format.unit);
    }
    // Just below 2.
    CHECK(round_to(format.rounding, std::nextafter(2.0, 0.0))
          == (format.cut ? 2.0 - format.unit : 2.0));
  }
}

TEST_CASE("numbers below the smallest normal one lie as far apart as above it",
          "[compare][level]") {
  for (const FormatByHand& format : formats_by_hand()) {
    INFO(static_cast<int>(format.rounding));
    const double step = format.smallest * format.unit;
    for (const double sign : {1.0, -1.0}) {
      const auto rounded = [&](double steps) {
        return round_to(format.rounding, sign * steps * step) / step;
      };
      CHECK(rounded(1.0) == sign);
      CHECK(rounded(0.5) == 0.0);
      CHECK(rounded(0.75) == (format.cut ? 0.0 : sign));
      CHECK(rounded(1.5) == sign * (format.cut ? 1.0 : 2.0));
      CHECK(rounded(2.5) == sign * 2.0);
    }
  }
}

TEST_CASE("every format ends at its largest number", "[compare][level]") {
  for (const FormatByHand& format : formats_by_hand()) {
    INFO(static_cast<int>(format.rounding));
    const double next = std::ldexp(1.0, std::ilogb(format.largest) + 1);
    for (const double sign : {1.0, -1.0}) {
      CHECK(round_to(format.rounding, sign * format.largest) == sign * format.largest);
      CHECK(round_to(format.rounding, sign * next) == sign * format.beyond);
      CHECK(round_to(format.rounding, sign * 1e300) == sign * format.beyond);
    }
  }
}

TEST_CASE("zeros keep their sign", "[compare][level]") {
  for (const FormatByHand& format : formats_by_hand()) {
    CHECK((round_to(format.rounding, 0.0) == 0.0 && !std::signbit(round_to(format.rounding, 0.0))));
    CHECK(std::signbit(round_to(format.rounding, -0.0)));
  }
}

TEST_CASE("round_all rounds each number in place", "[compare][level]") {
  std::vector<double> numbers = {1.0 + 0x1.8p-7, -3.1, 0.0};
  round_all(Rounding::none, numbers);
  CHECK(numbers == std::vector<double>{1.0 + 0x1.8p-7, -3.1, 0.0});
  round_all(Rounding::bf16, numbers);
  CHECK(numbers == std::vector<double>{1.0 + 0x1p-6, -3.09375, 0.0});
}

TEST_CASE("the unit roundoff is half of what lies between 1 and the next number",
          "[compare][level]") {
  for (const FormatByHand& format : formats_by_hand()) {
    CHECK(unit_roundoff(format.rounding) == format.unit / 2.0);
  }
  CHECK(unit_roundoff(Rounding::none) == 0.0);
}

TEST_CASE("the spread of rounding is that of numbers whose logarithms are spread evenly",
          "[compare][level]") {
  constexpr int k_count = 4096;
  double squares = 0.0;
  for (int i = 0; i < k_count; ++i) {
    const double value = std::exp2((i + 0.5) / k_count);
    const double error = round_to(Rounding::bf16, value) / value - 1.0;
    squares += error * error;
  }
  CHECK(rounding_spread(Rounding::bf16) == Approx(std::sqrt(squares / k_count)).epsilon(0.01));
  CHECK(rounding_spread(Rounding::f16) == rounding_spread(Rounding::bf16) / 8.0);
  CHECK(rounding_spread(Rounding::none) == 0.0);
}

TEST_CASE("levels have names, and some round logits or their sum", "[compare][level]") {
  struct LevelByHand {
    Level level;
    std::string_view name;
    bool lse;
    bool coarse;
  };
  for (const LevelByHand& row : {LevelByHand{Level::exact, "exact", false, false},
                                 LevelByHand{Level::tf32, "tf32", true, false},
                                 LevelByHand{Level::tf32_cut, "tf32_cut", true, false},
                                 LevelByHand{Level::flash, "flash", false, false},
                                 LevelByHand{Level::flash_cut, "flash_cut", false, false},
                                 LevelByHand{Level::rounded_sum, "rounded_sum", true, false},
                                 LevelByHand{Level::rounded_query, "rounded_query", true, false},
                                 LevelByHand{Level::fp8, "fp8", false, false},
                                 LevelByHand{Level::rounded_logits, "rounded_logits", true, true},
                                 LevelByHand{Level::eager, "eager", true, true}}) {
    INFO(row.name);
    CHECK(to_string(row.level) == row.name);
    CHECK(!describe(row.level).empty());
    CHECK(changes_lse(row.level) == row.lse);
    CHECK(has_coarse_logits(row.level) == row.coarse);
  }
}

TEST_CASE("what a kernel computes in is what it reads, for fp8 what it writes",
          "[compare][level]") {
  using tensor::Dtype;
  CHECK(ComputeDtypes{Dtype::f32, Dtype::f16}.compute() == Rounding::f32);
  CHECK(ComputeDtypes{Dtype::bf16, Dtype::f16}.compute() == Rounding::bf16);
  CHECK(ComputeDtypes{Dtype::f16, Dtype::bf16}.compute() == Rounding::f16);
  for (const Dtype float8 : {Dtype::f8_e4m3fn, Dtype::f8_e5m2}) {
    CHECK(ComputeDtypes{float8, Dtype::f16}.compute() == Rounding::f16);
    CHECK(ComputeDtypes{float8, Dtype::bf16}.compute() == Rounding::bf16);
    CHECK(ComputeDtypes{float8, Dtype::f32}.compute() == Rounding::bf16);
  }
  CHECK(rounding_of(Dtype::f64) == Rounding::none);
  CHECK(rounding_of(Dtype::f32) == Rounding::f32);
  CHECK(rounding_of(Dtype::f8_e4m3fn) == Rounding::e4m3);
  CHECK(rounding_of(Dtype::f8_e5m2) == Rounding::e5m2);
}

TEST_CASE("which levels a kernel can have depends on what it reads", "[compare][level]") {
  using tensor::Dtype;
  const std::vector<Level> of_float8 = {Level::exact, Level::flash, Level::fp8,
                                        Level::rounded_logits, Level::eager};
  const std::vector<Level> of_half = {
      Level::exact,         Level::flash,          Level::flash_cut, Level::rounded_sum,
      Level::rounded_query, Level::rounded_logits, Level::eager};
  CHECK(levels_for({Dtype::f8_e4m3fn, Dtype::bf16}) == of_float8);
  CHECK(levels_for({Dtype::bf16, Dtype::f32}) == of_half);
  CHECK(levels_for({Dtype::f16, Dtype::f32}) == of_half);
  CHECK(levels_for({Dtype::f64, Dtype::f64})
        == std::vector<Level>{Level::exact, Level::tf32, Level::tf32_cut});
}
