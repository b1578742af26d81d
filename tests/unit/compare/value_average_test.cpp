#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/value_average.hpp>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

RowSample sample_of_keys(std::int64_t head, std::size_t keys) {
  RowSample sample;
  sample.head = head;
  sample.nope.resize(keys);
  sample.rope.resize(keys);
  return sample;
}

} // namespace

TEST_CASE("an absorbed average is W_UV times the weighted sum of latents", "[value_average]") {
  // Ranks and widths that differ, two heads, keys of more than one tile; the sums are written out.
  constexpr std::size_t k_keys = 300;
  reference::Problem problem;
  problem.form = reference::Form::absorbed;
  problem.q = tensors::number_view(1, 1, 2, 5);
  problem.kv_c = tensors::number_view(2, k_keys, 1, 4);
  problem.k_pe = tensors::number_view(3, k_keys, 1, 2);
  problem.w_uk = tensors::number_view(4, 3, 2, 4);
  problem.w_uv = tensors::number_view(5, 6, 2, 4);
  problem.qk_rope_head_dim = 2;
  problem.sequences = {{0, 1, 0, k_keys}};
  problem.threads = 1;
  const std::vector<RowSample> samples = {sample_of_keys(1, k_keys)};
  const std::vector<double> weights = tensors::numbers(6, k_keys);
  std::vector<double> expected(6, 0.0);
  for (std::int64_t v = 0; v < 6; ++v) {
    for (std::int64_t rank = 0; rank < 4; ++rank) {
      double latent = 0.0;
      for (std::size_t j = 0; j < k_keys; ++j) {
        latent += weights[j] * problem.kv_c->at(static_cast<std::int64_t>(j), 0, rank);
      }
      expected[static_cast<std::size_t>(v)] += problem.w_uv->at(v, 1, rank) * latent;
    }
  }
  ValueAverager averager(problem);
  const auto one_by_one = averager.average(samples[0], 1, weights);
  const ValueAverage wanted = {{}, {}, [&](std::size_t, std::size_t first, std::span<double> some) {
                                 std::copy_n(weights.data() + first, some.size(), some.data());
                               }};
  const std::vector<double> together = average_values(problem, samples, {wanted}).front();
  REQUIRE(one_by_one.size() == 6);
  REQUIRE(together.size() == 6);
  for (std::size_t v = 0; v < 6; ++v) {
    CHECK(one_by_one[v] == Approx(expected[v]).epsilon(1e-12));
    CHECK(together[v] == Approx(expected[v]).epsilon(1e-12));
  }
}

TEST_CASE("an average over more keys than are kept converted takes each key's own weight",
          "[value_average]") {
  // Keys so wide that 256 of them fill what is kept; their numbers are all one and the same.
  constexpr std::int64_t k_keys = 600;
  reference::Problem problem;
  problem.q = tensors::view({1.0}, 1, 1, 1);
  problem.q.width = std::int64_t{1} << 15;
  problem.k = tensors::view({1.0}, 1, 1, 1);
  problem.k->width = problem.q.width;
  problem.v = tensors::number_view(2, k_keys, 1, 1);
  problem.sequences = {{0, 1, 0, k_keys}};
  const std::vector<double> weights = tensors::numbers(3, 2 * k_keys);
  double first = 0.0;
  double second = 0.0;
  for (std::int64_t j = 0; j < k_keys; ++j) {
    first += weights[static_cast<std::size_t>(j)] * problem.v->at(j, 0, 0);
    second += weights[static_cast<std::size_t>(k_keys + j)] * problem.v->at(j, 0, 0);
  }
  ValueAverager averager(problem);
  const auto both = averager.average(sample_of_keys(0, k_keys), 2, weights);
  REQUIRE(both.size() == 2);
  CHECK(both[0] == Approx(first).epsilon(1e-12));
  CHECK(both[1] == Approx(second).epsilon(1e-12));
}

TEST_CASE("of long samples those are kept that have two million logits, or 64", "[value_average]") {
  reference::Problem problem;
  problem.q = tensors::view({1.0}, 1, 1, 1);
  problem.k = tensors::view({1.0}, 1, 1, 1);
  problem.v = tensors::view({1.0}, 1, 1, 1);
  const auto kept = [&](std::size_t count, std::size_t keys, std::int64_t limit) {
    RowSample sample;
    sample.nope.resize(keys);
    const std::vector<RowSample> samples(count, sample);
    return thinned(problem, samples, limit).size();
  };
  CHECK(kept(100, 25'000, 1000) == 80); // 80 · 25000 = 2 million
  CHECK(kept(100, 40'000, 1000) == 64);
  CHECK(kept(100, 40'000, 10) == 10);
  CHECK(kept(100, 10, 1000) == 100);
  CHECK(kept(100, 10, 30) == 30);
}
