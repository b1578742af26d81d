#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/check/automatic_rows.hpp>

#include <algorithm>
#include <set>

using namespace mla_scale;
using namespace mla_scale::check;

namespace {

reference::Problem problem_of(std::int64_t queries, std::int64_t keys) {
  reference::Problem problem;
  problem.q = tensors::number_view(1, queries, 1, 3);
  problem.k = tensors::number_view(2, keys, 1, 3);
  problem.v = tensors::number_view(3, keys, 1, 2);
  problem.sequences = {{0, queries, 0, keys}};
  return problem;
}

bool contains(const AutomaticRows& chosen, std::int64_t row) {
  return std::binary_search(chosen.rows.begin(), chosen.rows.end(), row);
}

} // namespace

TEST_CASE("the ends and both sides of page boundaries are among the automatic rows", "[check]") {
  const AutomaticRows chosen = automatic_rows(problem_of(10000, 10000), 1.0);
  CHECK(chosen.random == 64); // the least, for a budget of nothing
  for (const std::int64_t row : {0, 1, 15, 16, 63, 64, 127, 128, 4095, 4096, 8191, 8192, 9999}) {
    CHECK(contains(chosen, row));
  }
  CHECK(contains(chosen, 9984)); // the last page of 16, 32, 64 .. 256 begins there
  CHECK(std::is_sorted(chosen.rows.begin(), chosen.rows.end()));
  CHECK(chosen.rows.size() < 150);
}

TEST_CASE("page boundaries are counted in keys, not in query rows", "[check]") {
  // 1000 rows of prefix: query row r is key 1000 + r, and key 1024 begins a page.
  const AutomaticRows chosen = automatic_rows(problem_of(5000, 6000), 1.0);
  CHECK(contains(chosen, 23));
  CHECK(contains(chosen, 24));
  CHECK(contains(chosen, 4096 - 1000));
}

TEST_CASE("any run of rows that is two parts long is touched", "[check]") {
  const AutomaticRows chosen = automatic_rows(problem_of(10000, 10000), 1.0);
  const std::int64_t part = 10000 / chosen.random + 1;
  for (std::size_t i = 1; i < chosen.rows.size(); ++i) {
    CHECK(chosen.rows[i] - chosen.rows[i - 1] < 2 * part);
  }
}

TEST_CASE("a larger budget pays for more rows, and for all of a small capture", "[check]") {
  // By hand: a row sees 5000.5 keys on average, of 2·(3 + 2) operations each: 50,005 operations.
  CHECK(automatic_rows(problem_of(10000, 10000), 200 * 50005.0).random == 200);
  CHECK(automatic_rows(problem_of(10000, 10000), 1e12).random == 2048);
  CHECK(automatic_rows(problem_of(40, 40), 1.0).rows.size() == 40);
}

TEST_CASE("rows from a latent are paid for in the form that costs less", "[check]") {
  reference::Problem problem;
  problem.form = reference::Form::latent;
  problem.q = tensors::number_view(1, 10000, 1, 101);
  problem.kv_c = tensors::number_view(2, 10000, 1, 4);
  problem.k_pe = tensors::number_view(3, 10000, 1, 1);
  problem.w_uk = tensors::number_view(4, 100, 1, 4);
  problem.w_uv = tensors::number_view(5, 100, 1, 4);
  problem.qk_rope_head_dim = 1;
  problem.sequences = {{0, 10000, 0, 10000}};
  // By hand: expanding takes 10,000 · 2·4·(100 + 100) = 16e6 operations, and then a row
  // 5000.5 · 2·(101 + 100) = 2,010,201. Absorbed, a row takes 5000.5 · 2·(2·4 + 1) + 2·4·200 =
  // 91,609.
  CHECK(automatic_rows(problem, 200 * 91609.0).random == 200);
  problem.rows = {9999};
  CHECK(cost_of(problem) == 10000 * 18.0 + 1600);
  problem.rows = {};
  // The other way round with a latent wider than what it expands to: 10,000 · 2·40·(2 + 2) = 3.2e6
  // and 5000.5 · 2·(3 + 2) = 50,005 a row, against 5000.5 · 2·(80 + 1) a row.
  problem.q = tensors::number_view(1, 10000, 1, 3);
  problem.kv_c = tensors::number_view(2, 10000, 1, 40);
  problem.w_uk = tensors::number_view(4, 2, 1, 40);
  problem.w_uv = tensors::number_view(5, 2, 1, 40);
  CHECK(automatic_rows(problem, 3.2e6 + 200 * 50005.0).random == 200);
}

TEST_CASE("the promised probability is that of independent draws", "[check]") {
  AutomaticRows chosen;
  chosen.random = 2;
  CHECK(chosen.catches(0.5) == 0.75);
  chosen.random = 300; // 1 - 0.99^300, from a pocket calculator
  CHECK(chosen.catches(0.01) == Approx(0.95096).epsilon(1e-4));
}
