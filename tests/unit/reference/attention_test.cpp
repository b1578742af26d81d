#include "distance.hpp"
#include "expected_values.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/reference/attention.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>

using namespace mla_scale;
using namespace mla_scale::reference;

namespace {

constexpr std::int64_t k_heads = 3;
constexpr std::int64_t k_nope = 10;
constexpr std::int64_t k_rope = 6;
constexpr std::int64_t k_v = 5;
constexpr std::int64_t k_rank = 12;
constexpr std::int64_t k_queries = 7;
constexpr std::int64_t k_keys = 11;
constexpr double k_scale = 0.37;

/// The small problem of expected.py.
Problem small_problem(std::int64_t keys = k_keys) {
  Problem problem;
  problem.q = tensors::number_view(1, k_queries, k_heads, k_nope + k_rope, 4.0);
  problem.k = tensors::number_view(2, keys, k_heads, k_nope + k_rope);
  problem.v = tensors::number_view(3, keys, k_heads, k_v);
  problem.qk_rope_head_dim = k_rope;
  problem.softmax_scale = k_scale;
  problem.sequences = {{0, k_queries, 0, keys}};
  return problem;
}

Problem latent_problem(Form form) {
  Problem problem = small_problem();
  problem.k.reset();
  problem.v.reset();
  problem.kv_c = tensors::number_view(4, k_keys, 1, k_rank);
  problem.k_pe = tensors::number_view(5, k_keys, 1, k_rope);
  problem.w_uk = tensors::number_view(6, k_nope, k_heads, k_rank);
  problem.w_uv = tensors::number_view(7, k_v, k_heads, k_rank);
  problem.form = form;
  return problem;
}

Problem long_problem(std::int64_t rows = 700) {
  Problem problem;
  problem.q = tensors::number_view(8, rows, 1, k_nope + k_rope, 4.0);
  problem.k = tensors::number_view(9, rows, 1, k_nope + k_rope);
  problem.v = tensors::number_view(10, rows, 1, k_v);
  problem.qk_rope_head_dim = k_rope;
  problem.softmax_scale = k_scale;
  problem.sequences = {{0, rows, 0, rows}};
  return problem;
}

Attention computed(const Problem& problem) {
  auto result = compute(problem);
  REQUIRE(result.has_value());
  return *result;
}

} // namespace

TEST_CASE("two queries and two keys give what a pencil gives", "[reference]") {
  // Row 1 has logits 2·(0, ln 3 / 2) = (0, ln 3): weights 1/4 and 3/4, lse = ln 4.
  Problem problem;
  problem.q = tensors::view({1.0, 0.0, 0.0, 1.0}, 2, 1, 2);
  problem.k = tensors::view({1.0, 0.0, 0.0, std::log(3.0) / 2}, 2, 1, 2);
  problem.v = tensors::view({8.0, 4.0}, 2, 1, 1);
  problem.softmax_scale = 2.0;
  problem.sequences = {{0, 2, 0, 2}};
  const Attention result = computed(problem);
  CHECK(result.out[0] == 8.0);
  CHECK(result.lse[0] == 2.0);
  CHECK(result.out[1] == Approx(8.0 / 4 + 4.0 * 3 / 4).epsilon(1e-15));
  CHECK(result.lse[1] == Approx(std::log(4.0)).epsilon(1e-15));
}

TEST_CASE("the expanded form agrees with NumPy to 1e-13", "[reference]") {
  Problem problem = small_problem();
  CHECK(distance(computed(problem).out, k_prefix_out) < 1e-13);
  CHECK(distance(computed(problem).lse, k_prefix_lse) < 1e-13);
  problem.causal = false;
  CHECK(distance(computed(problem).out, k_non_causal_out) < 1e-13);
  CHECK(distance(computed(problem).lse, k_non_causal_lse) < 1e-13);
}

TEST_CASE("over several tiles and blocks the reference agrees with NumPy to 1e-13", "[reference]") {
  Problem problem = long_problem();
  CHECK(distance(computed(problem).lse, k_long_lse) < 1e-13);
  problem.rows = {0, 1, 63, 64, 255, 256, 511, 512, 699};
  CHECK(distance(computed(problem).out, k_long_out) < 1e-13);
}

TEST_CASE("rows that see no key give zeros and minus infinity", "[reference]") {
  const Attention result = computed(small_problem(4));
  CHECK(distance(result.out, k_more_queries_out) < 1e-13);
  CHECK(distance(result.lse, k_more_queries_lse) < 1e-13);
  CHECK(std::isinf(result.lse_at(2, 0)));
  CHECK(std::isfinite(result.lse_at(3, 0)));
}

TEST_CASE("a sink takes its share of the output and stays out of the lse", "[reference]") {
  Problem problem = small_problem();
  problem.sinks = {0.5, -1.0, 2.0};
  CHECK(distance(computed(problem).out, k_sink_out) < 1e-13);
  CHECK(distance(computed(problem).lse, k_sink_lse) < 1e-13);
}

TEST_CASE("query factors scale the logits of their row", "[reference]") {
  Problem problem = small_problem();
  problem.query_factors = llama_4_factors({0, 1, 2, 3, 4, 5, 6}, 0.1, 3.0);
  CHECK(distance(computed(problem).out, k_temperature_out) < 1e-13);
  CHECK(distance(computed(problem).lse, k_temperature_lse) < 1e-13);
}

TEST_CASE("latent and absorbed form agree with NumPy and with each other", "[reference]") {
  const Attention latent = computed(latent_problem(Form::latent));
  const Attention absorbed = computed(latent_problem(Form::absorbed));
  CHECK(distance(latent.out, k_latent_out) < 1e-13);
  CHECK(distance(latent.lse, k_latent_lse) < 1e-13);
  CHECK(distance(absorbed.out, latent.out) < 1e-12);
  CHECK(distance(absorbed.lse, latent.lse) < 1e-12);
}

TEST_CASE("a chunked context merged by lse gives what one pass gives", "[reference]") {
  for (const Form form : {Form::latent, Form::absorbed}) {
    Problem problem = latent_problem(form);
    const Attention whole = computed(problem);
    problem.key_chunk = 3;
    CHECK(distance(computed(problem).out, whole.out) < 1e-13);
    CHECK(distance(computed(problem).lse, whole.lse) < 1e-13);
  }
  Problem problem = long_problem();
  const Attention whole = computed(problem);
  problem.key_chunk = 129;
  CHECK(distance(computed(problem).out, whole.out) < 1e-13);
}

TEST_CASE("the result is the same bits for every number of threads", "[reference]") {
  Problem problem = long_problem(1300);
  problem.threads = 1;
  const Attention one = computed(problem);
  for (const int threads : {2, 5}) {
    problem.threads = threads;
    const Attention many = computed(problem);
    CHECK(one.out == many.out);
    CHECK(one.lse == many.lse);
  }
}

TEST_CASE("keys walked block by block give the bits that head after head gives", "[reference]") {
  Problem problem;
  problem.q = tensors::number_view(11, 600, k_heads, k_nope + k_rope, 4.0);
  problem.k = tensors::number_view(12, 900, k_heads, k_nope + k_rope);
  problem.v = tensors::number_view(13, 900, k_heads, k_v);
  problem.qk_rope_head_dim = k_rope;
  problem.softmax_scale = k_scale;
  problem.sequences = {{0, 100, 0, 300}, {100, 600, 300, 900}};
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    problem.precision = precision;
    problem.key_block = 0;
    problem.threads = 1;
    const Attention by_head = computed(problem);
    problem.key_block = 256;
    for (const int threads : {1, 3}) {
      problem.threads = threads;
      const Attention in_blocks = computed(problem);
      CHECK(by_head.out == in_blocks.out);
      CHECK(by_head.lse == in_blocks.lse);
    }
  }
}

TEST_CASE("every pair of a row and a key that it sees is told once", "[reference]") {
  Problem problem = long_problem(700);
  for (const std::int64_t block : {0, 256}) {
    problem.key_block = block;
    std::atomic<std::int64_t> told = 0;
    REQUIRE(attend(
        problem, [](const OutputBlock&) {},
        [&](double pairs) { told += static_cast<std::int64_t>(pairs); }));
    CHECK(told == 700 * 701 / 2);
  }
}

TEST_CASE("sequences of a varlen batch do not see each other", "[reference]") {
  // Sequence 1 alone must give the rows that it gives inside a batch.
  Problem batch = long_problem(300);
  batch.sequences = {{0, 100, 0, 120}, {100, 250, 120, 300}};
  const Attention together = computed(batch);
  Problem alone = batch;
  alone.sequences = {{100, 250, 120, 300}};
  for (std::int64_t row = 100; row < 250; ++row) {
    alone.rows.push_back(row);
  }
  const Attention second = computed(alone);
  const std::vector<double> rows(together.out.begin() + 100 * k_v,
                                 together.out.begin() + 250 * k_v);
  CHECK(distance(second.out, rows) < 1e-13);
  CHECK(together.lse[260] == -std::numeric_limits<double>::infinity());
}

TEST_CASE("float32 products stay within float32 noise", "[reference]") {
  Problem problem = long_problem();
  const Attention exact = computed(problem);
  problem.precision = Precision::f32;
  const Attention fast = computed(problem);
  CHECK(distance(fast.out, exact.out) < 2e-5);
  CHECK(distance(fast.out, exact.out) > 1e-9);
  CHECK(distance(fast.lse, exact.lse) < 2e-6);
}

TEST_CASE("scaling the queries by c is scaling the softmax scale by c", "[reference]") {
  Problem problem = small_problem();
  problem.softmax_scale = 4 * k_scale;
  const Attention scaled = computed(problem);
  Problem stretched = small_problem();
  stretched.q = tensors::number_view(1, k_queries, k_heads, k_nope + k_rope, 16.0);
  CHECK(computed(stretched).out == scaled.out);
}

TEST_CASE("permuted heads give permuted outputs and the first row is the first value",
          "[reference]") {
  Problem problem = small_problem(k_queries);
  const Attention all = computed(problem);
  for (std::int64_t head = 0; head < k_heads; ++head) {
    for (std::int64_t c = 0; c < k_v; ++c) {
      CHECK(all.out_row(0, static_cast<std::size_t>(head))[static_cast<std::size_t>(c)]
            == problem.v->at(0, head, c));
    }
  }
  problem.heads = {2};
  const Attention one = computed(problem);
  for (std::size_t row = 0; row < static_cast<std::size_t>(k_queries); ++row) {
    CHECK(std::equal(one.out_row(row, 0).begin(), one.out_row(row, 0).end(),
                     all.out_row(row, 2).begin()));
  }
}

TEST_CASE("merging with an empty part changes nothing, whatever stands in it", "[reference]") {
  const double nothing = -std::numeric_limits<double>::infinity();
  std::vector<double> out = {1.0, 2.0};
  double lse = 0.5;
  merge_partial(out, lse, std::vector<double>{std::nan(""), 7.0}, nothing);
  CHECK(out == std::vector<double>{1.0, 2.0});
  CHECK(lse == 0.5);
  std::vector<double> empty = {9.0, std::nan("")};
  double empty_lse = nothing;
  merge_partial(empty, empty_lse, out, lse);
  CHECK(empty == out);
  double both = nothing;
  merge_partial(empty, both, out, nothing);
  CHECK(both == nothing);
}

TEST_CASE("parts with lse ln 2 and ln 6 weigh 1 to 3", "[reference]") {
  // The SGLang issue 33064 example: Z = [2, 6].
  std::vector<double> out = {4.0};
  double lse = std::log(2.0);
  merge_partial(out, lse, std::vector<double>{8.0}, std::log(6.0));
  CHECK(out[0] == Approx(7.0).epsilon(1e-15));
  CHECK(lse == Approx(std::log(8.0)).epsilon(1e-15));
}
