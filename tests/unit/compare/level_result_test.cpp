// Errors made up row by row against floors that are known: rows that see one key have the floor
// 2^-21 · (1 + |logit|) at level exact, the noise of float32 sums.
#include "rows_of_one_key.hpp"
#include "support/catch.hpp"

#include <mla_scale/compare/level_test.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace mla_scale;
using namespace mla_scale::compare;
using namespace one_key;

namespace {

constexpr double k_floor = 0x1p-21; // of a row with the logit 0

} // namespace

TEST_CASE("a bad row is counted and named, and so are its head and its positions",
          "[compare][level_test]") {
  RowsOfOneKey rows(2, std::vector<double>(20, 0.0));
  TensorErrors& out = rows.without_errors(rows.errors.out);
  out.error[rows.errors.slot(0, 3)] = 5.0 * k_floor;
  const LevelResult result = rows.tested();
  // Position 0, then nine ranges of two and 19. The mean square is over all rows of a group, those
  // without error too: 5 / sqrt(20) of 20 rows, 5 / 2 of two rows of two heads.
  CHECK(result.out.reasons
        == Reasons{"1 of 40 rows are off by more than 4 floors; worst: row 3 of head 0, 5 floors",
                   "1 of 2 heads exceed the floor (0), the worst 1.12 times",
                   "1 of 11 position ranges exceed the floor (3-4), the worst 2.5 times"});
  REQUIRE(result.out.by_head.size() == 2);
  CHECK(result.out.by_head[0].relative_rms == Approx(5.0 * k_floor / std::sqrt(20.0)));
  CHECK(result.out.by_head[0].floor == Approx(k_floor));
  CHECK(result.out.by_head[1].relative_rms == 0.0);
  REQUIRE(result.out.by_position.size() == 11);
  CHECK(result.out.by_position[2].relative_rms == Approx(2.5 * k_floor));
  CHECK(result.out.map[2] == Approx(5.0 / std::sqrt(2.0)));
  CHECK(result.out.floor_ratio == Approx(5.0));
  CHECK(result.out_floor == Approx(k_floor));
  CHECK(result.out_bulk == 0.0);
}

TEST_CASE("a row that is not finite is counted apart from the errors", "[compare][level_test]") {
  RowsOfOneKey rows(2, std::vector<double>(20, 0.0));
  TensorErrors& out = rows.without_errors(rows.errors.out);
  out.error.assign(out.error.size(), k_floor);
  out.error[rows.errors.slot(1, 0)] = k_infinity;
  const LevelResult result = rows.tested();
  REQUIRE(!result.out.reasons.empty());
  CHECK(result.out.reasons[0]
        == "1 of 40 rows are off by more than 4 floors; worst: row 0 of head 1, not finite");
  CHECK(result.out.by_head[0].not_finite == 0);
  CHECK(result.out.by_head[1].not_finite == 1);
  CHECK(result.out.by_position[0].not_finite == 1);
  CHECK(result.out.by_head[1].relative_rms == Approx(k_floor));
  CHECK(std::isinf(result.out.map[result.out.by_position.size()]));
  CHECK(result.out.floor_ratio == Approx(1.0));
}

TEST_CASE("a head without samples takes the floors that its positions have in other heads",
          "[compare][level_test]") {
  // Logits 0 and 3 have the floors 1 and 4; only head 0 was sampled.
  RowsOfOneKey rows(2, {0.0, 3.0});
  rows.sample(1, 2);
  rows.without_errors(rows.errors.out);
  const LevelResult result = rows.tested();
  REQUIRE(result.out.by_position.size() == 2);
  CHECK(result.out.by_position[0].floor == Approx(k_floor));
  CHECK(result.out.by_position[1].floor == Approx(4.0 * k_floor));
  CHECK(result.out.by_head[0].floor == Approx(std::sqrt(8.5) * k_floor));
  CHECK(result.out.by_head[1].floor == Approx(std::sqrt(8.5) * k_floor));
  CHECK(result.out.reasons.empty());
}

TEST_CASE("no error where nothing may be off is no fault", "[compare][level_test]") {
  RowsOfOneKey rows(1, {0.0, 0.0}, 0.0); // out vanishes: its floor is 0
  rows.without_errors(rows.errors.out);
  const LevelResult result = rows.tested();
  CHECK(result.out_bulk == 0.0);
  CHECK(result.out_floor == 0.0);
  CHECK(result.out.by_head[0].floor_ratio == 0.0);
  CHECK(result.out.floor_ratio == 0.0);
  CHECK(result.out.reasons.empty());
  rows.samples.clear();
  CHECK(rows.tested().out_bulk == 0.0);
  CHECK(rows.tested().out.reasons.empty());
}

TEST_CASE("a row whose own floor is larger than the usual one is held against its own",
          "[compare][level_test]") {
  // 4 floors are usual; the logit 2 makes 3 of one.
  std::vector<double> logits(200, 0.0);
  logits[150] = 2.0;
  RowsOfOneKey rows(1, logits);
  rows.sample(1, 10);
  TensorErrors& out = rows.without_errors(rows.errors.out);
  out.error[150] = 6.0 * k_floor;
  CHECK(rows.tested().out.reasons.empty());
  out.error[150] = 13.0 * k_floor;
  REQUIRE(!rows.tested().out.reasons.empty());
  CHECK(rows.tested().out.reasons[0]
        == "1 of 200 rows are off by more than 4 floors; worst: row 150 of head 0, 4.33 floors");

  SECTION("and what rounding may do to all rows alike comes on top") {
    // Logits within one step of bf16, 2^-7, may all round by half of it; the logit 2047 has the
    // floor 2^-10, so that 2^-8 + 2^-8 are allowed.
    logits[150] = 2047.0;
    RowsOfOneKey rounded(1, logits);
    rounded.sample(1, 10);
    rounded.dtypes = {Dtype::bf16, Dtype::f64};
    rounded.spreads = {{0.0, 0.1, true, 1.0}};
    TensorErrors& leaning = rounded.without_errors(rounded.errors.out);
    leaning.error[150] = 1.5 * 0x1p-8;
    CHECK(rounded.tested(Level::flash).out.reasons.empty());
    leaning.error[150] = 2.1 * 0x1p-8;
    CHECK(!rounded.tested(Level::flash).out.reasons.empty());
  }
}

TEST_CASE("one head that leans is seen where others lean the other way", "[compare][level_test]") {
  RowsOfOneKey rows(3, std::vector<double>(20, 0.0));
  for (const bool is_lse : {false, true}) {
    TensorErrors& tensor = rows.without_errors(is_lse ? rows.errors.lse : rows.errors.out);
    tensor.error.assign(tensor.error.size(), k_floor);
    for (std::size_t row = 0; row < 20; ++row) {
      tensor.bias[rows.errors.slot(1, row)] = 0x1p-10;
      tensor.bias[rows.errors.slot(2, row)] = -0x1p-10;
    }
  }
  const LevelResult result = rows.tested();
  CHECK(result.out.reasons == Reasons{"on average of head 1 1.000977 ± 0 times the reference"});
  CHECK(result.lse.reasons == Reasons{"on average of head 1 +0.000977 ± 0 off"});
}

TEST_CASE("a fitted scale is as uncertain as a healthy kernel's noise makes it",
          "[compare][level_test]") {
  // The noise of a scale is floor / sqrt(elements of a row · information): 3.4e-4 from two columns
  // of out and 4.8e-4 from lse. Six of it are allowed.
  RowsOfOneKey rows(1, std::vector<double>(20, 0.0));
  rows.without_errors(rows.errors.out);
  rows.without_errors(rows.errors.lse);
  const auto reasons = [&](double from_out, double from_lse, double information) {
    rows.out_fit = fit_of_ratio(from_out, information);
    rows.lse_fit = fit_of_ratio(from_lse, information);
    const LevelResult result = rows.tested();
    return std::pair(result.out.reasons.size(), result.lse.reasons.size());
  };
  CHECK(reasons(1.0019, 1.0027, 1e-6) == std::pair(std::size_t{0}, std::size_t{0}));
  CHECK(reasons(1.0022, 1.0030, 1e-6) == std::pair(std::size_t{1}, std::size_t{1}));
  // Without noise float32 may change the scale that is fitted from out by 2e-5 and from lse by
  // 1e-5.
  CHECK(reasons(1.000015, 1.000005, 1e3) == std::pair(std::size_t{0}, std::size_t{0}));
  CHECK(reasons(0.999985, 0.999985, 1e3) == std::pair(std::size_t{0}, std::size_t{1}));
}

TEST_CASE("rows that are not finite do not enter the average", "[compare][level_test]") {
  RowsOfOneKey rows(1, std::vector<double>(80, 0.0));
  TensorErrors& out = rows.without_errors(rows.errors.out);
  out.error.assign(out.error.size(), k_floor);
  for (std::size_t row = 0; row < 80; ++row) {
    if (row % 2 == 0) {
      out.bias[row] = 0x1p-10;
    } else {
      out.error[row] = k_infinity;
    }
  }
  const Reasons reasons = rows.tested().out.reasons;
  CHECK(std::count(reasons.begin(), reasons.end(), "on average 1.000977 ± 0 times the reference")
        == 1);
}

TEST_CASE("a fit that is right to float32 explains no error, however little it leaves",
          "[compare][level_test]") {
  RowsOfOneKey rows(1, std::vector<double>(20, 0.0));
  TensorErrors& out = rows.without_errors(rows.errors.out);
  out.error.assign(out.error.size(), 0.5 * k_floor);
  rows.out_fit = fit_of_ratio(1.00001, 1e3);
  CHECK(rows.tested().out.reasons.empty());
  rows.out_fit = fit_of_ratio(0.99999, 1e3);
  CHECK(rows.tested().out.reasons.empty());
}

TEST_CASE("what probabilities may lean by is in lse only where they are what is summed",
          "[compare][level_test]") {
  RowsOfOneKey rows(1, std::vector<double>(20, 0.0));
  rows.dtypes = {Dtype::bf16, Dtype::f64};
  rows.spreads = {{0.0, 0.1, true, 1.0}};
  TensorErrors& lse = rows.without_errors(rows.errors.lse);
  lse.error[5] = 0x1p-10; // less than the 2^-8 by which they may lean
  const auto says_row = [&](Level level) {
    const Reasons reasons = rows.tested(level).lse.reasons;
    return std::any_of(reasons.begin(), reasons.end(), [](const std::string& reason) {
      return reason.starts_with("1 of 20 rows");
    });
  };
  CHECK(says_row(Level::flash));
  CHECK_FALSE(says_row(Level::rounded_sum));
}
