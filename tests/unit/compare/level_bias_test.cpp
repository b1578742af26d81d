// Errors that lean to one side on average, made up so that the allowance can be worked out.
#include "rows_of_one_key.hpp"
#include "support/catch.hpp"

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;
using namespace one_key;

namespace {

/// Rows whose errors along the reference are mean ± deviation in turn: `count`, an even number, has
/// the standard error deviation / sqrt(count - 1).
struct Leaning {
  Level level = Level::exact;
  bool is_lse = false;
  std::int64_t count = 10;
  double deviation = 0.0;
  double floor = 0.0;

  [[nodiscard]] RowsOfOneKey rows(double mean) const {
    RowsOfOneKey rows = even_rows(1, count, floor);
    if (level == Level::fp8) {
      rows.dtypes = {Dtype::f8_e4m3fn, Dtype::bf16};
    } else if (level != Level::exact && level != Level::tf32 && level != Level::tf32_cut) {
      rows.dtypes = {Dtype::bf16, Dtype::bf16};
    }
    TensorErrors& errors = rows.without_errors(is_lse ? rows.errors.lse : rows.errors.out);
    double sign = 1.0;
    for (double& bias : errors.bias) {
      bias = mean + sign * deviation;
      sign = -sign;
    }
    return rows;
  }
  [[nodiscard]] Reasons reasons(double mean) const {
    const LevelResult result = rows(mean).tested(level);
    return is_lse ? result.lse.reasons : result.out.reasons;
  }
  /// True when this much is allowed in both directions and a little more is not.
  [[nodiscard]] bool allows(double mean) const {
    const double more = 1.001 * mean;
    const double less = 0.999 * mean;
    return reasons(less).empty() && reasons(-less).empty() && reasons(more).size() == 1
           && reasons(-more).size() == 1;
  }
};

/// Rows that lean one way in one head and the other way in the next.
RowsOfOneKey opposite_heads() {
  RowsOfOneKey rows = even_rows(2, 10, 0.01);
  TensorErrors& out = rows.without_errors(rows.errors.out);
  std::fill_n(out.bias.begin(), 10, 0.125);
  std::fill_n(out.bias.begin() + 10, 10, -0.125);
  return rows;
}

} // namespace

TEST_CASE("an average may be off by a share of the floor that the level decides",
          "[compare][level_test]") {
  // 6 standard errors of 0.03 / sqrt(9), 1 + 16 / 10 times for so few rows; 4 where the bias of
  // cutting is known. 2e-6 is for float32 sums.
  struct Share {
    Level level;
    double of_out;
    double of_lse;
    double errors;
  };
  for (const Share& share :
       {Share{Level::exact, 0.1, 1.0, 6.0}, Share{Level::tf32, 1.0, 1.0, 6.0},
        Share{Level::tf32_cut, 1.0, 1.0, 6.0}, Share{Level::flash, 0.1, 1.0, 6.0},
        Share{Level::flash_cut, 0.02, 1.0, 4.0}, Share{Level::rounded_sum, 0.1, 0.1, 6.0},
        Share{Level::rounded_query, 0.1, 0.1, 6.0}, Share{Level::fp8, 1.0, 1.0, 6.0},
        Share{Level::rounded_logits, 0.02, 0.1, 6.0}, Share{Level::eager, 0.02, 0.1, 6.0}}) {
    INFO(to_string(share.level));
    CHECK(Leaning{share.level, false, 10, 0.03, 0.5}.allows(share.errors * 2.6 * 0.01
                                                            + share.of_out * 0.5 + 2e-6));
    CHECK(Leaning{share.level, true, 10, 0.03, 0.5}.allows(6.0 * 2.6 * 0.01 + share.of_lse * 0.5
                                                           + 2e-6));
  }
}

TEST_CASE("the average of many rows is surer than that of few", "[compare][level_test]") {
  CHECK(Leaning{Level::exact, false, 50, 0.07, 0.0}.allows(6.0 * 1.32 * 0.01 + 2e-6));
  CHECK(
      Leaning{Level::exact, false, 26, 0.05, 0.0}.allows(6.0 * (1.0 + 16.0 / 26.0) * 0.01 + 2e-6));
  CHECK(Leaning{Level::exact, false, 10, 0.0, 0.0}.allows(2e-6));
}

TEST_CASE("exactly what is allowed is no fault", "[compare][level_test]") {
  const Leaning leaning{Level::exact, true, 16, 0.0, 0x1p-7};
  CHECK(leaning.reasons(0x1p-7 + 2e-6).empty());
}

TEST_CASE("seven rows have no average and eight have one", "[compare][level_test]") {
  CHECK(Leaning{Level::exact, false, 7, 0.0, 0.01}.reasons(0.125).empty());
  CHECK(Leaning{Level::exact, false, 8, 0.0, 0.01}.reasons(0.125)
        == Reasons{"on average 1.125 ± 0 times the reference"});
}

TEST_CASE("the reason says the average and its standard error", "[compare][level_test]") {
  CHECK(Leaning{Level::exact, false, 10, 0.03, 0.01}.reasons(0.25)
        == Reasons{"on average 1.25 ± 0.01 times the reference"});
  CHECK(Leaning{Level::exact, true, 10, 0.03, 0.01}.reasons(-0.25)
        == Reasons{"on average -0.25 ± 0.01 off"});
}

TEST_CASE("the first head that leans is named, and it alone", "[compare][level_test]") {
  CHECK(opposite_heads().tested().out.reasons
        == Reasons{"on average of head 0 1.125 ± 0 times the reference"});
}

TEST_CASE("cut probabilities lean by what a healthy kernel leans by", "[compare][level_test]") {
  // Simulated kernels lean by -0.003 on average; a share of 0.02 of the floor 0.05 is allowed.
  const auto passes = [](Level level, double mean) {
    RowsOfOneKey rows = Leaning{level, false, 10, 0.0, 0.05}.rows(mean);
    for (std::size_t i = 0; i < rows.floors->size(); ++i) {
      (*rows.floors)[i].bias = i % 2 == 0 ? -0.004 : -0.002;
    }
    return rows.tested(level).passed();
  };
  CHECK(passes(Level::flash_cut, -0.0039));
  CHECK(!passes(Level::flash_cut, -0.0041));
  CHECK(passes(Level::flash_cut, -0.0021));
  CHECK(!passes(Level::flash_cut, -0.0019));
  CHECK(passes(Level::flash, 0.0049)); // a share of 0.1, and nothing leans
  CHECK(passes(Level::flash, -0.0049));
}

TEST_CASE("without samples nothing is known to lean", "[compare][level_test]") {
  RowsOfOneKey rows = Leaning{Level::flash_cut, false, 10, 0.0, 0.0}.rows(0.125);
  rows.samples.clear();
  rows.floors->clear();
  CHECK(rows.tested(Level::flash_cut).out.reasons
        == Reasons{"on average 1.125 ± 0 times the reference"});
}

TEST_CASE("what rounding probabilities does to all rows alike may be the average",
          "[compare][level_test]") {
  // Half of a step of bf16, 2^-8, on top of a tenth of the floor.
  for (const double sign : {1.0, -1.0}) {
    RowsOfOneKey rows = Leaning{Level::flash, false, 10, 0.0, 0.01}.rows(sign * (0x1p-8 + 0.00099));
    rows.spreads = {{0.0, 1.0, true, 1.0}};
    CHECK(rows.tested(Level::flash).passed());
    rows = Leaning{Level::flash, false, 10, 0.0, 0.01}.rows(sign * (0x1p-8 + 0.00101));
    rows.spreads = {{0.0, 1.0, true, 1.0}};
    CHECK(!rows.tested(Level::flash).passed());
  }
}
