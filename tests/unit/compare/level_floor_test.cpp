// How far errors may exceed floors that the tests make up, at the limit and beside it.
#include "rows_of_one_key.hpp"
#include "support/catch.hpp"

#include <mla_scale/core/number.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;
using namespace one_key;

namespace {

constexpr double k_made_up_floor = 0x1p-7; // sums of its multiples are exact

/// The first reason when one of 200 rows, the others right, has an error of so many floors.
std::string of_one_row(bool is_lse, Level level, double floors) {
  RowsOfOneKey rows(1, std::vector<double>(200, 0.0));
  rows.have_floor(k_made_up_floor);
  TensorErrors& errors = rows.without_errors(is_lse ? rows.errors.lse : rows.errors.out);
  errors.error[57] = floors * k_made_up_floor;
  const LevelResult result = rows.tested(level);
  const Reasons& reasons = is_lse ? result.lse.reasons : result.out.reasons;
  return reasons.empty() ? "" : reasons.front();
}

/// 300 rows of 2 heads with errors of 6 usual floors, half of which are allowed: their own floors
/// are twice the usual one. The keys are of one head when the capture is not `large`.
RowsOfOneKey suspicious_rows(std::size_t suspects, bool large) {
  RowsOfOneKey rows(2, std::vector<double>(300, 1.0));
  rows.have_floor(0x1p-21);
  TensorErrors& out = rows.without_errors(rows.errors.out);
  std::fill_n(out.error.begin(), suspects, 6.0 * 0x1p-21);
  if (large) {
    rows.problem.k = tensors::view({1.0, 1.0}, 1, 2, 1);
    rows.problem.v = tensors::view({1.0, 1.0, 1.0, 1.0}, 1, 2, 2);
    rows.problem.k->tokens = rows.problem.v->tokens = 1 << 26; // of which one is seen
  }
  return rows;
}

} // namespace

TEST_CASE("a row may be off by 4 floors, in lse by 6 where logits are rounded",
          "[compare][level_test]") {
  const std::string of_4 = "1 of 200 rows are off by more than 4 floors; worst: row 57 of head 0, ";
  const std::string of_6 = "1 of 200 rows are off by more than 6 floors; worst: row 57 of head 0, ";
  for (const Level level : {Level::exact, Level::tf32}) {
    CHECK(of_one_row(false, level, 4.0).empty());
    CHECK(of_one_row(false, level, 4.01) == of_4 + "4.01 floors");
  }
  CHECK(of_one_row(true, Level::exact, 4.0).empty());
  CHECK(of_one_row(true, Level::exact, 4.01) == of_4 + "4.01 floors");
  CHECK(of_one_row(true, Level::tf32, 6.0).empty());
  CHECK(of_one_row(true, Level::tf32, 6.01) == of_6 + "6.01 floors");
}

TEST_CASE("a head may exceed its floor 1.5 times and 2.5 over the root of its rows more",
          "[compare][level_test]") {
  const auto reasons = [](std::int64_t count, double floors, double bias) {
    RowsOfOneKey rows(1, std::vector<double>(static_cast<std::size_t>(count), 0.0));
    rows.have_floor(k_made_up_floor);
    TensorErrors& out = rows.without_errors(rows.errors.out);
    out.error.assign(out.error.size(), floors * k_made_up_floor + bias);
    if (bias > 0.0) {
      rows.dtypes = {Dtype::bf16, Dtype::f64};
      rows.spreads = {{0.0, 1.0, true, 1.0}};
    }
    return rows.tested(bias > 0.0 ? Level::flash : Level::exact).out.reasons;
  };
  CHECK(reasons(25, 2.0, 0.0).empty());
  CHECK(reasons(25, 2.01, 0.0)
        == Reasons{"1 of 1 heads exceed the floor (0), the worst 2.01 times"});
  CHECK(reasons(100, 1.745, 0.0).empty());
  CHECK(reasons(100, 1.755, 0.0).size() == 1);
  // Logits within a step of bf16 may all round by half of it, 2^-8, which comes on top.
  CHECK(reasons(25, 1.99, 0x1p-8).empty());
  CHECK(reasons(25, 2.01, 0x1p-8).size() == 1);
}

TEST_CASE("eight samples of a head and position say what is usual there, fewer do not",
          "[compare][level_test]") {
  const auto floors = [](std::int64_t count, bool is_lse, Level level) {
    RowsOfOneKey rows = even_rows(2, count, 0.01);
    rows.without_errors(is_lse ? rows.errors.lse : rows.errors.out);
    for (std::size_t i = 0; i < rows.samples.size(); ++i) {
      const double floor = rows.samples[i].head == 0 ? 0.01 : 0.03;
      (*rows.floors)[i] = {floor, floor, 0.0};
    }
    const LevelResult result = rows.tested(level);
    const std::vector<GroupError>& heads = is_lse ? result.lse.by_head : result.out.by_head;
    return std::pair(heads[0].floor, heads[1].floor);
  };
  const double all = std::sqrt((0.01 * 0.01 + 0.03 * 0.03) / 2.0);
  CHECK(floors(8, false, Level::exact).first == Approx(0.01));
  CHECK(floors(8, false, Level::exact).second == Approx(0.03));
  CHECK(floors(7, false, Level::exact).first == Approx(all));
  CHECK(floors(7, false, Level::exact).second == Approx(0.03));
  CHECK(floors(8, false, Level::tf32).first == Approx(0.01));
  CHECK(floors(8, true, Level::exact).first == Approx(0.01));
  // Where logits are rounded all rows say what is usual for lse, however many samples there are.
  CHECK(floors(8, true, Level::tf32).first == Approx(all));
  CHECK(floors(8, true, Level::tf32).second == Approx(0.03));
}

TEST_CASE("a position without samples has the floor of everything", "[compare][level_test]") {
  RowsOfOneKey rows(2, {0.0, 0.0});
  rows.sample(2, 1);
  rows.floors = {{0.01, 0.0, 0.0}, {0.03, 0.0, 0.0}};
  rows.without_errors(rows.errors.out);
  const LevelResult result = rows.tested();
  CHECK(result.out.by_position[1].floor == Approx(std::sqrt((0.0001 + 0.0009) / 2.0)));
}

TEST_CASE("the floor of a head is the root mean square of its rows'", "[compare][level_test]") {
  // One row at position 0, nine ranges of two rows and one of one.
  RowsOfOneKey rows(1, std::vector<double>(20, 0.0));
  rows.have_floor(0.01);
  rows.floors->front().out = 0.03;
  rows.without_errors(rows.errors.out);
  CHECK(rows.tested().out.by_head[0].floor == Approx(0.01 * std::sqrt((9.0 + 19.0) / 20.0)));
}

TEST_CASE("what storing the lse rounds is part of its floor", "[compare][level_test]") {
  // float32: 2^-24 of the number, here 0.004 of head 1, row 1 alone; 0.003² + 0.004² = 0.005².
  RowsOfOneKey rows(2, {0.0, 0.0});
  rows.lse_dtype = Dtype::f32;
  rows.have_floor(0.003);
  rows.without_errors(rows.errors.lse);
  rows.errors.reference_lse[rows.errors.slot(1, 1)] = -0.004 * 0x1p24;
  const LevelResult result = rows.tested();
  CHECK(result.lse_floor == Approx(std::sqrt((3.0 * 9e-6 + 25e-6) / 4.0)));
  CHECK(result.lse.by_position[0].floor == Approx(0.003));
}

TEST_CASE("bulks are of the middle error and the middle floor, of samples alone",
          "[compare][level_test]") {
  RowsOfOneKey rows(1, std::vector<double>(5, 0.0));
  rows.floors = {
      {0.04, 0.4, 0.0}, {0.01, 0.1, 0.0}, {0.03, 0.3, 0.0}, {0.05, 0.5, 0.0}, {0.02, 0.2, 0.0}};
  rows.without_errors(rows.errors.out).error = {0.01, 0.025, 0.005, 0.015, 0.02};
  rows.without_errors(rows.errors.lse).error = {0.02, 0.04, 0.05, 0.01, 0.03};
  CHECK(rows.tested().out_bulk == Approx(0.015 / 0.03));
  CHECK(rows.tested().lse_bulk == Approx(0.03 / 0.3));
  CHECK(rows.tested().out_floor == Approx(0.01 * std::sqrt(55.0 / 5.0)));
  // Of an even number the upper one.
  rows.sample(1, 4);
  rows.floors->pop_back();
  CHECK(rows.tested().out_bulk == Approx(0.015 / 0.04));
}

TEST_CASE("errors where nothing may be off are infinitely many floors", "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(1, 3, 0.0);
  // The simulated floor of these rows is 0 too.
  rows.problem.v = tensors::view({0.0, 0.0}, 1, 1, 2);
  rows.without_errors(rows.errors.out).error = {0.5, 0.0, 0.5};
  const LevelResult result = rows.tested();
  CHECK(std::isinf(result.out_bulk));
  REQUIRE(!result.out.reasons.empty());
  CHECK(result.out.reasons[0]
        == "2 of 3 rows are off by more than 4 floors; worst: row 0 of head 0, inf floors");
}

TEST_CASE("errors are infinitely many of a floor that is no number", "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(2, 20, 1e200); // its square is infinite, and 0 rows of it NaN
  TensorErrors& out = rows.without_errors(rows.errors.out);
  for (std::size_t row = 0; row < 20; ++row) {
    out.error[rows.errors.slot(0, row)] = 1.0;
    out.error[rows.errors.slot(1, row)] = k_infinity;
  }
  const LevelResult result = rows.tested();
  CHECK(std::isnan(result.out.by_position[0].floor));
  CHECK(std::isinf(result.out.by_position[0].floor_ratio));
}

TEST_CASE("the first of the worst rows is named", "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(2, 100, 0.01);
  TensorErrors& out = rows.without_errors(rows.errors.out);
  out.error[rows.errors.slot(0, 10)] = 0.05;
  out.error[rows.errors.slot(0, 20)] = 0.0625;
  out.error[rows.errors.slot(1, 5)] = 0.0625;
  const LevelResult result = rows.tested();
  CHECK(result.out.reasons[0]
        == "3 of 200 rows are off by more than 4 floors; worst: row 20 of head 0, 6.25 floors");
  CHECK(result.out.floor_ratio == Approx(6.25));
}

TEST_CASE("a bad row makes its head bad, however small the head's error is",
          "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(1, 100, 0.01);
  rows.without_errors(rows.errors.out).error[42] = 0.05;
  // 5 / sqrt(100) floors.
  CHECK(rows.tested().out.reasons[1] == "1 of 1 heads exceed the floor (0), the worst 0.5 times");
}

TEST_CASE("of bad heads four are listed", "[compare][level_test]") {
  const auto heads = [](std::size_t bad) {
    RowsOfOneKey rows = even_rows(6, 25, 0.01);
    TensorErrors& out = rows.without_errors(rows.errors.out);
    for (std::size_t head = 0; head < bad; ++head) {
      const double floors = head + 1 == bad ? 3.5 : 3.0;
      std::fill_n(out.error.begin() + static_cast<std::ptrdiff_t>(25 * head), 25, 0.01 * floors);
    }
    return rows.tested().out.reasons.at(0);
  };
  CHECK(heads(4) == "4 of 6 heads exceed the floor (0, 1, 2, 3), the worst 3.5 times");
  CHECK(heads(5) == "5 of 6 heads exceed the floor (0, 1, 2, 3, ...), the worst 3.5 times");
}

TEST_CASE("a cell of one head and one range of positions may be all that is bad",
          "[compare][level_test]") {
  // Position 0 and 15 ranges of 14 rows and less, of which 1.5 + 2.5 / sqrt(14) = 2.168 floors are
  // allowed.
  const auto tested = [](double floors) {
    RowsOfOneKey rows(4, std::vector<double>(200, 0.0));
    rows.have_floor(0.01);
    TensorErrors& out = rows.without_errors(rows.errors.out);
    std::fill_n(out.error.begin() + static_cast<std::ptrdiff_t>(rows.errors.slot(2, 1)), 14,
                0.01 * floors);
    return rows.tested();
  };
  CHECK(tested(2.16).out.reasons.empty());
  const LevelResult result = tested(2.18);
  CHECK(result.out.reasons == Reasons{"1 of 64 (head, position range) cells exceed the floor"});
  CHECK(result.out.map[2 * 16 + 1] == Approx(2.18));
  CHECK(result.out.map[0] == 0.0);
  CHECK(result.out.floor_ratio == Approx(2.18));
}

TEST_CASE("rows without a reference belong to no group", "[compare][level_test]") {
  RowsOfOneKey rows(2, std::vector<double>(10, 0.0));
  rows.have_floor(0.01);
  TensorErrors& out = rows.without_errors(rows.errors.out);
  std::fill(out.error.begin() + 10, out.error.end(), -1.0);
  out.error[3] = -1.0;
  const LevelResult result = rows.tested();
  CHECK(result.out.reasons.empty());
  CHECK(result.out.by_head[0].floor == Approx(0.01));
  CHECK(result.out.by_head[1].floor == 0.0);
  CHECK(result.out.by_head[1].floor_ratio == 0.0);
  CHECK(result.out.map[2] == 0.0);
  CHECK(result.out.map[3] == -1.0);
  CHECK(result.out.map[result.out.by_position.size()] == -1.0);
}

TEST_CASE("a head with a row that is not finite is bad though a healthy kernel may overflow there",
          "[compare][level_test]") {
  // f16 ends at 65504: the healthy kernel's out is infinite too.
  RowsOfOneKey rows(1, std::vector<double>(20, 0.0), 70000.0);
  rows.take_apart();
  rows.have_floor(0.01);
  rows.dtypes = {Dtype::f16, Dtype::f16};
  TensorErrors& out = rows.without_errors(rows.errors.out);
  out.error[7] = k_infinity;
  const LevelResult result = rows.tested(Level::flash);
  CHECK(result.out.reasons
        == Reasons{"1 of 1 heads exceed the floor (0), the worst 0 times",
                   "1 of 1 position ranges exceed the floor (0), the worst 0 times"});
  CHECK(std::isinf(result.out.map[0]));
}

TEST_CASE("a row of lse is held against its own floor of lse", "[compare][level_test]") {
  // Values of 0 have no floor of out; the logit 1 has the floor 2^-20 in lse.
  RowsOfOneKey rows(1, std::vector<double>(200, 1.0), 0.0);
  rows.have_floor(0x1p-21);
  TensorErrors& lse = rows.without_errors(rows.errors.lse);
  lse.error[9] = 6.0 * 0x1p-21;
  CHECK(rows.tested().lse.reasons.empty());
  lse.error[9] = 8.1 * 0x1p-21;
  CHECK(!rows.tested().lse.reasons.empty());
}

TEST_CASE("the 512 worst rows are held against their own floors", "[compare][level_test]") {
  const std::string words = " of 600 rows are off by more than 4 floors; worst: ";
  CHECK_FALSE(any_starts_with(suspicious_rows(512, false).tested().out.reasons, "512" + words));
  RowsOfOneKey rows = suspicious_rows(600, false);
  CHECK(rows.tested().out.reasons[0] == "88" + words + "row 212 of head 1, 6 floors");
  // The 88 that are a little better are not among them.
  std::fill_n(rows.errors.out.error.begin() + 100, 88, 5.5 * 0x1p-21);
  CHECK(rows.tested().out.reasons[0] == "88" + words + "row 100 of head 0, 5.5 floors");
}

TEST_CASE("of a large capture no more than 512 rows are read again", "[compare][level_test]") {
  const std::string words = " of 600 rows are off by more than 4 floors; worst: row 0 of head 0, ";
  CHECK_FALSE(any_starts_with(suspicious_rows(512, true).tested().out.reasons, "512" + words));
  CHECK(any_starts_with(suspicious_rows(513, true).tested().out.reasons, "513" + words));
}
