#include <mla_scale/diagnose/choose_rows.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <support/catch.hpp>
#include <support/tensors.hpp>
#include <vector>

// Which rows are looked at, counted by hand. Only shapes are read, so that sizes may be any.

using namespace mla_scale;
using diagnose::choose_rows;
using diagnose::HeadRow;

namespace {

/// One sequence of as many queries as keys.
reference::Problem of_size(std::int64_t heads, std::int64_t tokens) {
  reference::Problem problem;
  problem.q = tensors::number_view(1, 1, 1, 1);
  problem.q.heads = heads;
  problem.q.tokens = tokens;
  problem.sequences = {{0, tokens, 0, tokens}};
  return problem;
}

std::vector<std::int64_t> rows_of_head(const std::vector<HeadRow>& pairs, std::int64_t wanted) {
  std::vector<std::int64_t> rows;
  for (const auto& [head, row] : pairs) {
    if (head == wanted) {
      rows.push_back(row);
    }
  }
  return rows;
}

std::set<std::int64_t> heads_of(const std::vector<HeadRow>& pairs) {
  std::set<std::int64_t> heads;
  for (const auto& pair : pairs) {
    heads.insert(pair.first);
  }
  return heads;
}

} // namespace

TEST_CASE("rows are four at each end, then beside pages of 64 up to a third, then halves of halves",
          "[parts]") {
  const auto problem = of_size(1, 200);
  CHECK(rows_of_head(choose_rows(problem, 1, 16 * 200), 0)
        == std::vector<std::int64_t>{0, 1, 2, 3, 12, 25, 50, 75, 100, 125, 150, 175, 196, 197, 198,
                                     199});
  CHECK(rows_of_head(choose_rows(problem, 1, 40 * 200), 0)
        == std::vector<std::int64_t>{0,   1,   2,   3,   6,   12,  18,  25,  31,  37,
                                     43,  50,  56,  62,  63,  64,  68,  75,  81,  87,
                                     93,  100, 106, 112, 118, 125, 127, 128, 131, 137,
                                     150, 162, 175, 187, 191, 192, 196, 197, 198, 199});
}

TEST_CASE("a budget of nothing still pays for four rows, none for more than 256", "[parts]") {
  CHECK(rows_of_head(choose_rows(of_size(1, 200), 1, 0), 0)
        == std::vector<std::int64_t>{0, 1, 198, 199});
  CHECK(choose_rows(of_size(1, 600), 1, 1'000'000'000).size() == 256);
  CHECK(choose_rows(of_size(1, 256), 1, 1'000'000'000).size() == 256);
}

TEST_CASE("heads are spread evenly from the first to the last, suspects before them", "[parts]") {
  const auto problem = of_size(8, 20);
  CHECK(heads_of(choose_rows(problem, 1, 10'000)) == std::set<std::int64_t>{0});
  CHECK(heads_of(choose_rows(problem, 3, 10'000)) == std::set<std::int64_t>{0, 3, 7});
  CHECK(heads_of(choose_rows(problem, 3, 10'000, {{5, 0}})) == std::set<std::int64_t>{0, 3, 5});
  CHECK(heads_of(choose_rows(problem, 20, 10'000)).size() == 8);
  // Suspects are half of six at most: 0 and 7 are the ends, 1 the next of an even spread.
  CHECK(heads_of(choose_rows(problem, 6, 10'000, {{4, 0}, {5, 0}, {6, 0}, {3, 0}, {2, 0}}))
        == std::set<std::int64_t>{0, 1, 2, 4, 5, 6});
}

TEST_CASE("heads are so many that each has eight rows for twice the budget, two at least",
          "[parts]") {
  const auto problem = of_size(8, 200);
  // 8 rows of 200 logits are 1,600: three heads for 4,800.
  CHECK(heads_of(choose_rows(problem, 8, 2400)).size() == 3);
  CHECK(heads_of(choose_rows(problem, 8, 2399)).size() == 2);
  CHECK(heads_of(choose_rows(problem, 8, 0)).size() == 2);
}

TEST_CASE("rows under suspicion come on top: 32 at most, for as much again as the budget",
          "[parts]") {
  const auto problem = of_size(1, 200);
  for (const auto& [rows, more] : {std::pair{20, 20}, std::pair{100, 32}}) {
    const std::int64_t budget = std::int64_t{rows} * 200;
    const auto without = rows_of_head(choose_rows(problem, 1, budget), 0);
    REQUIRE(std::ssize(without) == rows);
    std::vector<HeadRow> suspects;
    for (std::int64_t row = 0; row < 200; ++row) {
      if (!std::binary_search(without.begin(), without.end(), row)) {
        suspects.emplace_back(0, row);
      }
    }
    CHECK(std::ssize(choose_rows(problem, 1, budget, suspects)) == rows + more);
  }
}

TEST_CASE("with two sequences a row costs the keys of its own", "[parts]") {
  auto problem = of_size(1, 200);
  problem.sequences = {{0, 100, 0, 100}, {100, 200, 100, 200}};
  // Ten rows of each, 2,000 logits; 20 suspects of 100 keys each for as many more.
  std::vector<HeadRow> suspects;
  for (std::int64_t row = 13; row < 45; ++row) {
    suspects.emplace_back(0, row);
  }
  const auto without = choose_rows(problem, 1, 10 * 200);
  CHECK(without.size() == 20);
  const auto with = choose_rows(problem, 1, 10 * 200, suspects);
  const auto known =
      std::count_if(suspects.begin(), suspects.begin() + 20, [&](const HeadRow& one) {
        return std::binary_search(without.begin(), without.end(), one);
      });
  CHECK(std::ssize(with) == 40 - known);
}

TEST_CASE("of more than 16,384 keys a dozen rows of 16 to 4,096 keys are looked at on top",
          "[parts]") {
  const auto short_rows = [](std::int64_t heads, std::int64_t tokens, std::int64_t budget) {
    const auto rows = rows_of_head(choose_rows(of_size(heads, tokens), heads, budget), 0);
    std::vector<std::int64_t> some;
    for (const auto row : rows) {
      if (row >= 15 && row < 16'000) {
        some.push_back(row);
      }
    }
    return some;
  };
  // A budget for four rows: two at each end.
  CHECK(short_rows(1, 16'384, 0).empty());
  const auto rows = short_rows(1, 16'385, 0);
  REQUIRE(rows.size() == 12);
  CHECK(rows.front() == 15);
  CHECK(rows.back() == 4095);
  // All heads' logits of 17,000 keys: four million pay for eleven rows of 20 heads, for eight of
  // 29, and eight are the fewest.
  CHECK(short_rows(20, 17'000, 1'400'000).size() == 11);
  CHECK(short_rows(29, 17'000, 2'000'000).size() == 8);
  CHECK(short_rows(30, 17'000, 2'050'000).empty());
  // Two sequences of 10,000 keys are none of 20,000.
  auto two = of_size(1, 20'000);
  two.sequences = {{0, 10'000, 0, 10'000}, {10'000, 20'000, 10'000, 20'000}};
  CHECK(choose_rows(two, 1, 0).size() == 8);
}
