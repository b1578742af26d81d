#include "support/catch.hpp"
#include "support/kernel.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/compare/value_average.hpp>

#include <algorithm>
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

TEST_CASE("few rows are all sampled, many evenly with the first and the last", "[compare]") {
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

TEST_CASE("rows that see no key are not sampled", "[compare]") {
  const auto problem = problem_of(kernel::inputs({10, 4, 1, 4, 2, 2}));
  const auto rows = sample_rows(problem, 100);
  REQUIRE(rows.size() == 4);
  CHECK(rows.front() == HeadRow{0, 6});
}

TEST_CASE(
    "a latent that is dear to expand is sampled in few heads, the first and the last among them",
    "[compare]") {
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

TEST_CASE("logits and averages are sums written out", "[compare]") {
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

TEST_CASE("samples walked block by block are those of head after head", "[compare]") {
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

TEST_CASE("averages of many samples are those of one after the other", "[compare]") {
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

TEST_CASE("rows whose logits would fill the memory are left out", "[compare]") {
  auto problem = problem_of(kernel::inputs({10, 10, 1, 4, 2, 2}));
  CHECK(within_memory(problem, {{0, 3}, {0, 9}}).size() == 2);
  problem.causal = false;
  problem.sequences = {{0, 10, 0, std::int64_t{5} << 20}}; // only its size is looked at
  CHECK(within_memory(problem, {{0, 3}, {0, 9}}).size() == 1);
}
