#include "support/catch.hpp"
#include "support/kernel.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/compare/value_average.hpp>

#include <algorithm>
#include <cmath>
#include <set>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

reference::Problem problem_of(const kernel::Run& run) {
  return *reference::make_problem(run.capture(), reference::Form::expanded, 0.1, run.shape.rope);
}

/// Averages with the samples' own products as weights: any numbers will do.
ValueAverage by_nope(const std::vector<RowSample>& samples, Rounding value) {
  return {value, {}, [&samples](std::size_t i, std::size_t first, std::span<double> weights) {
            std::copy_n(samples[i].nope.data() + first, weights.size(), weights.data());
          }};
}

} // namespace

TEST_CASE("few rows are all sampled, many evenly with the first and the last",
          "[compare][row_sample]") {
  const auto problem = problem_of(kernel::inputs({100, 100, 3, 4, 2, 2}));
  CHECK(sample_rows(problem, 300).size() == 300);
  const auto rows = sample_rows(problem, 30);
  CHECK(rows.size() <= 30);
  CHECK(rows.size() >= 24);
  CHECK(std::is_sorted(rows.begin(), rows.end()));
  for (std::int64_t head = 0; head < 3; ++head) {
    CHECK(std::count(rows.begin(), rows.end(), HeadRow{head, 0}) == 1);
    CHECK(std::count(rows.begin(), rows.end(), HeadRow{head, 99}) == 1);
  }
}

TEST_CASE("rows that see no key are not sampled", "[compare][row_sample]") {
  const auto problem = problem_of(kernel::inputs({10, 4, 1, 4, 2, 2}));
  const auto rows = sample_rows(problem, 100);
  REQUIRE(rows.size() == 4);
  CHECK(rows.front() == HeadRow{0, 6});
}

TEST_CASE(
    "a latent that is dear to expand is sampled in few heads, the first and the last among them",
    "[compare][row_sample]") {
  const kernel::Run run = kernel::inputs({100, 100, 16, 4, 2, 2});
  auto problem = problem_of(run);
  problem.form = reference::Form::latent;
  problem.kv_c = tensors::number_view(1, 1, 1, 512);
  problem.w_uk = tensors::number_view(2, 4, 16, 512);
  problem.w_uv = tensors::number_view(3, 2, 16, 512);
  const auto heads_in = [](const std::vector<HeadRow>& rows) {
    std::set<std::int64_t> heads;
    for (const HeadRow& row : rows) {
      heads.insert(row.first);
    }
    return heads;
  };
  CHECK(heads_in(sample_rows(problem, 300)).size() == 16);
  problem.kv_c->tokens = std::int64_t{1} << 40; // only its size is looked at
  const auto rows = sample_rows(problem, 300);
  CHECK(heads_in(rows) == std::set<std::int64_t>{0, 5, 10, 15});
  CHECK(rows.size() > 280); // the rows that other heads leave go to these
}

TEST_CASE("logits and averages are sums written out", "[compare][row_sample]") {
  const kernel::Run run = kernel::inputs({5, 7, 2, 3, 2, 4});
  const auto problem = problem_of(run);
  const auto samples = sample_logits(problem, {{1, 2}});
  REQUIRE(samples.size() == 1);
  REQUIRE(samples[0].nope.size() == 5); // rows 0 .. 2 of 5, two keys of prefix
  double nope = 0.0;
  double rope = 0.0;
  for (std::int64_t c = 0; c < 5; ++c) {
    const double product = problem.q.at(2, 1, c) * problem.k->at(4, 1, c);
    (c < 3 ? nope : rope) += product;
  }
  CHECK(samples[0].nope[4] == Approx(nope).epsilon(1e-14));
  CHECK(samples[0].rope[4] == Approx(rope).epsilon(1e-14));
  CHECK(samples[0].noise.empty()); // nothing was rounded
  ValueAverager averager(problem);
  const std::vector<double> weights = {1, 0, 0, 0, 0, 0, 0, 0.5, 0, 2};
  const std::vector<double> both = averager.average(samples[0], 2, weights);
  REQUIRE(both.size() == 8);
  CHECK(both[3] == problem.v->at(0, 1, 3));
  CHECK(both[4] == Approx(0.5 * problem.v->at(2, 1, 0) + 2 * problem.v->at(4, 1, 0)));
}

TEST_CASE("samples walked block by block are those of head after head", "[compare][row_sample]") {
  kernel::Run run = kernel::inputs({600, 700, 3, 4, 2, 5});
  auto problem = problem_of(run);
  problem.sequences = {{0, 250, 0, 300}, {250, 600, 300, 700}};
  const auto rows = sample_rows(problem, 60);
  const InputRounding rounding = {Rounding::bf16, Rounding::bf16, Rounding::bf16, Rounding::none};
  const auto by_head = sample_logits(problem, rows, rounding);
  problem.key_block = 256;
  problem.threads = 2;
  const auto in_blocks = sample_logits(problem, rows, rounding);
  REQUIRE(by_head.size() == in_blocks.size());
  for (std::size_t i = 0; i < by_head.size(); ++i) {
    CHECK(by_head[i].nope == in_blocks[i].nope);
    CHECK(by_head[i].rope == in_blocks[i].rope);
    CHECK(by_head[i].noise == in_blocks[i].noise);
  }
  const std::vector<ValueAverage> wanted = {by_nope(by_head, Rounding::none),
                                            by_nope(by_head, Rounding::e4m3)};
  const auto averages = average_values(problem, in_blocks, wanted);
  problem.key_block = 0;
  CHECK(average_values(problem, by_head, wanted) == averages);
  REQUIRE(averages.size() == 2);
  REQUIRE(averages[0].size() == 5 * by_head.size());
  CHECK(averages[0] != averages[1]); // of values as they are, and rounded
}

TEST_CASE("averages of many samples are those of one after the other", "[compare][row_sample]") {
  const kernel::Run run = kernel::inputs({20, 300, 2, 3, 2, 4});
  const auto problem = problem_of(run);
  const auto samples = sample_logits(problem, sample_rows(problem, 10));
  const std::vector<double> together =
      average_values(problem, samples, {by_nope(samples, Rounding::none)}).front();
  ValueAverager averager(problem);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto alone = averager.average(samples[i], 1, samples[i].nope);
    for (std::size_t c = 0; c < 4; ++c) {
      CHECK(together[4 * i + c] == Approx(alone[c]).epsilon(1e-12).margin(1e-12));
    }
  }
}

TEST_CASE("rows whose logits would fill the memory are left out", "[compare][row_sample]") {
  auto problem = problem_of(kernel::inputs({10, 10, 1, 4, 2, 2}));
  CHECK(within_memory(problem, {{0, 3}, {0, 9}}).size() == 2);
  problem.causal = false;
  problem.sequences = {{0, 10, 0, std::int64_t{5} << 20}}; // only its size is looked at
  CHECK(within_memory(problem, {{0, 3}, {0, 9}}).size() == 1);
}

namespace {

/// Rows of an expanded problem of this many heads, each of which sees so many keys; only sizes are
/// looked at.
reference::Problem problem_of_sizes(std::int64_t rows, std::int64_t heads, std::int64_t keys) {
  reference::Problem problem;
  problem.q = tensors::view({}, rows, heads, 1);
  problem.causal = false;
  problem.sequences = {{0, rows, 0, keys}};
  return problem;
}

std::vector<std::int64_t> rows_of_head(const std::vector<HeadRow>& rows, std::int64_t head) {
  std::vector<std::int64_t> found;
  for (const HeadRow& row : rows) {
    if (row.first == head) {
      found.push_back(row.second);
    }
  }
  return found;
}

using Indices = std::vector<std::int64_t>;

} // namespace

TEST_CASE("heads sample rows between the first and the last, staggered by the golden ratio",
          "[compare][row_sample]") {
  // Four of ten rows: 2.5 apart. The second begins (1 + turn) · 2.5 after the first, with turns of
  // 0, 0.618 and 1.236 - 1.
  const auto rows = sample_rows(problem_of_sizes(10, 3, 1), 12);
  CHECK(rows_of_head(rows, 0) == Indices{0, 2, 5, 9});
  CHECK(rows_of_head(rows, 1) == Indices{0, 4, 6, 9});
  CHECK(rows_of_head(rows, 2) == Indices{0, 3, 5, 9});
  CHECK(rows.size() == 12);
  // Each head has two rows at least, and where one row is missing that is all.
  CHECK(rows_of_head(sample_rows(problem_of_sizes(10, 3, 1), 1), 1) == Indices{0, 9});
  CHECK(rows_of_head(sample_rows(problem_of_sizes(10, 3, 1), 29), 0)
        == Indices{0, 1, 2, 3, 4, 5, 6, 7, 9});
  CHECK(rows_of_head(sample_rows(problem_of_sizes(10, 3, 1), 30), 1)
        == Indices{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(sample_rows(problem_of_sizes(1, 3, 1), 30).size() == 3);
}

TEST_CASE("where eight rows of a head are not affordable there are fewer heads",
          "[compare][row_sample]") {
  // 8 Mi logits are 64 rows of 2^17 keys, so eight rows of eight heads of ten.
  auto rows = sample_rows(problem_of_sizes(20, 10, std::int64_t{1} << 17), 1000);
  CHECK(rows.size() == 64);
  CHECK(rows_of_head(rows, 0) == Indices{0, 2, 5, 7, 10, 12, 15, 19});
  Indices heads;
  for (std::size_t i = 0; i < rows.size(); i += 8) {
    heads.push_back(rows[i].first);
  }
  CHECK(heads == Indices{0, 1, 2, 3, 5, 6, 7, 9});
  // And 16 rows of 2^19 keys are four of four heads, the fewest.
  rows = sample_rows(problem_of_sizes(20, 10, std::int64_t{1} << 19), 1000);
  CHECK(rows.size() == 16);
  CHECK(rows.back() == HeadRow{9, 19});
  // Ten rows that see one key and ten that see 2^20 see half of 2^20 + 1 in the mean: 15 fit.
  auto mixed = problem_of_sizes(20, 1, 1);
  mixed.sequences = {{0, 10, 0, 1}, {10, 20, 1, (std::int64_t{1} << 20) + 1}};
  CHECK(sample_rows(mixed, 1000).size() == 15);
}

TEST_CASE("a latent is expanded for so many heads as take 4e11 products", "[compare][row_sample]") {
  // 2 · 10^7 keys · 512 · (4 + 2) columns are 6.144e10 for a head: six heads.
  auto problem = problem_of(kernel::inputs({10, 10, 16, 4, 2, 2}));
  problem.form = reference::Form::latent;
  problem.kv_c = tensors::number_view(1, 1, 1, 512);
  problem.w_uk = tensors::number_view(2, 4, 16, 512);
  problem.w_uv = tensors::number_view(3, 2, 16, 512);
  problem.kv_c->tokens = 10'000'000;
  Indices heads;
  for (const HeadRow& row : sample_rows(problem, 1000)) {
    if (row.second == 0) {
      heads.push_back(row.first);
    }
  }
  CHECK(heads == Indices{0, 3, 6, 9, 12, 15});
}

TEST_CASE("indices are spread with the first and the last, four at least",
          "[compare][row_sample]") {
  const Indices ten = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
  CHECK(spread_evenly(ten, 5) == Indices{10, 12, 14, 16, 19});
  CHECK(spread_evenly(ten, 1) == Indices{10, 13, 16, 19});
  CHECK(spread_evenly(ten, -1) == Indices{10, 13, 16, 19});
  CHECK(spread_evenly(ten, 9) == Indices{10, 11, 12, 13, 14, 15, 16, 17, 19});
  CHECK(spread_evenly(ten, 10) == ten);
  CHECK(spread_evenly(ten, 100) == ten);
  CHECK(spread_evenly({5, 7, 8}, 1) == Indices{5, 7, 8});
  CHECK(spread_evenly({5, 7}, 1) == Indices{5, 7});
  CHECK(spread_evenly({5}, 1) == Indices{5});
  CHECK(spread_evenly({}, 1).empty());
}

TEST_CASE("rows between sequences are not sampled and have no logits", "[compare][row_sample]") {
  auto problem = problem_of(kernel::inputs({4, 9, 1, 3, 2, 4}));
  problem.sequences = {{0, 1, 0, 2}, {3, 4, 5, 9}};
  CHECK(sample_rows(problem, 100) == std::vector<HeadRow>{{0, 0}, {0, 3}});
  const auto samples = sample_logits(problem, {{0, 0}, {0, 2}, {0, 3}});
  CHECK(samples[0].nope.size() == 2);
  CHECK(samples[1].nope.empty());
  CHECK(samples[1].first_key == 0);
  CHECK(samples[2].nope.size() == 4);
  CHECK(samples[2].first_key == 5);
}

TEST_CASE("8 Mi logits fit into memory, not one more", "[compare][row_sample]") {
  auto problem = problem_of_sizes(3, 1, std::int64_t{1} << 22);
  CHECK(within_memory(problem, {{0, 0}, {0, 1}, {0, 2}}) == std::vector<HeadRow>{{0, 0}, {0, 1}});
  problem.sequences[0].key_end = (std::int64_t{1} << 22) + 1;
  CHECK(within_memory(problem, {{0, 0}, {0, 1}, {0, 2}}) == std::vector<HeadRow>{{0, 0}});
}

TEST_CASE("logits of rounded inputs are sums written out, and so is what rounding does to them",
          "[compare][row_sample]") {
  const kernel::Run run = kernel::inputs({3, 300, 2, 3, 2, 4});
  auto problem = *reference::make_problem(run.capture(), reference::Form::expanded, 0.3, 2);
  problem.sequences = {{0, 1, 0, 20}, {1, 3, 20, 300}};
  problem.query_factors = {1.0, 0.7, 3.0};
  problem.threads = 1;
  const auto check = [&](const InputRounding& rounding, double scale) {
    problem.softmax_scale = scale;
    const auto samples = sample_logits(problem, {{0, 0}, {1, 1}, {1, 2}}, rounding);
    const double spread =
        std::hypot(rounding_spread(rounding.query), rounding_spread(rounding.key));
    const std::vector<std::size_t> keys = {20, 279, 280};
    REQUIRE(samples.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      const RowSample& sample = samples[i];
      const double factor = problem.query_factors[i];
      REQUIRE(sample.nope.size() == keys[i]);
      REQUIRE(sample.rope.size() == keys[i]);
      REQUIRE(sample.noise.size() == (spread > 0.0 ? keys[i] : 0));
      for (std::size_t j = 0; j < keys[i]; ++j) {
        double nope = 0.0;
        double rope = 0.0;
        double squares = 0.0;
        for (std::int64_t c = 0; c < 5; ++c) {
          const double plain = problem.q.at(sample.row, sample.head, c) * factor;
          const double q = scale == 0.0 ? plain : round_to(rounding.query, scale * plain) / scale;
          const double product =
              q
              * round_to(
                  rounding.key,
                  problem.k->at(sample.first_key + static_cast<std::int64_t>(j), sample.head, c));
          (c < 3 ? nope : rope) += product;
          squares += product * product;
        }
        CAPTURE(i, j);
        CHECK(sample.nope[j] == Approx(nope).epsilon(1e-10).margin(1e-12));
        CHECK(sample.rope[j] == Approx(rope).epsilon(1e-10).margin(1e-12));
        if (spread > 0.0) {
          CHECK(sample.noise[j] == Approx(spread * std::sqrt(squares)).epsilon(1e-10));
        }
      }
    }
  };
  check({}, 0.3);
  check({Rounding::e4m3, Rounding::none, {}, {}}, 0.3);
  check({Rounding::none, Rounding::e4m3, {}, {}}, 0.3);
  check({Rounding::e4m3, Rounding::e5m2, {}, {}}, 0.3);
  check({Rounding::e4m3, Rounding::none, {}, {}}, 0.0); // a scale that cannot be rounded in
}
