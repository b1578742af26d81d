#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/level.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <vector>

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

TEST_CASE("an absorbed average is W_UV times the weighted sum of latents",
          "[compare][value_average]") {
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
          "[compare][value_average]") {
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

TEST_CASE("of long samples those are kept that have two million logits, or 64",
          "[compare][value_average]") {
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

namespace {

/// A float64 tensor of numbers that a test changes while it is in use.
tensor::View3 changing_view(const std::vector<double>& values, std::int64_t tokens,
                            std::int64_t heads, std::int64_t width) {
  tensor::View3 view = tensors::view({}, tokens, heads, width);
  auto tensor = std::make_shared<tensor::Tensor>(*view.tensor);
  tensor->data = reinterpret_cast<const std::byte*>(values.data());
  view.tensor = std::move(tensor);
  return view;
}

/// An expanded problem of values alone: keys and queries of one number.
reference::Problem problem_of_values(const tensor::View3& values) {
  reference::Problem problem;
  problem.q = tensors::view(std::vector<double>(size(values.heads)), 1, values.heads, 1);
  problem.k = tensors::view(std::vector<double>(size(values.tokens)), values.tokens, 1, 1);
  problem.v = values;
  problem.threads = 1;
  return problem;
}

/// Any number for a key of a sample in one of several averages.
double some_weight(std::size_t average, std::size_t sample, std::size_t key) {
  return 1.0 / static_cast<double>(1 + average + 2 * sample + key % 7);
}

std::vector<double> some_weights(std::size_t average, std::size_t sample, std::size_t keys) {
  std::vector<double> weights;
  for (std::size_t key = 0; key < keys; ++key) {
    weights.push_back(some_weight(average, sample, key));
  }
  return weights;
}

RowSample sample_at(std::int64_t head, std::int64_t row, std::int64_t first_key, std::size_t keys) {
  RowSample sample = sample_of_keys(head, keys);
  sample.row = row;
  sample.first_key = first_key;
  return sample;
}

/// some_weights(0, index, ..) times the values, in loops.
double averaged(const reference::Problem& problem, const RowSample& sample, std::size_t index,
                std::int64_t column) {
  double sum = 0.0;
  for (std::size_t key = 0; key < sample.nope.size(); ++key) {
    sum += some_weight(0, index, key)
           * problem.v->at(sample.first_key + static_cast<std::int64_t>(key), sample.head, column);
  }
  return sum;
}

} // namespace

TEST_CASE("averages are sums of values rounded as each wants, over the keys that a sample sees",
          "[compare][value_average]") {
  reference::Problem problem = problem_of_values(tensors::number_view(3, 600, 2, 3));
  problem.sequences = {{0, 1, 0, 300}, {1, 2, 300, 600}};
  const std::vector<RowSample> samples = {sample_at(0, 0, 0, 300), sample_at(0, 0, 0, 257),
                                          sample_at(1, 0, 0, 10), sample_at(1, 1, 300, 256),
                                          sample_at(1, 1, 300, 299)};
  const std::vector<std::pair<Rounding, Rounding>> roundings = {{Rounding::none, Rounding::none},
                                                                {Rounding::none, Rounding::bf16},
                                                                {Rounding::e4m3, Rounding::none},
                                                                {Rounding::e4m3, Rounding::f16},
                                                                {Rounding::e5m2, Rounding::none}};
  bool only_seen = true;
  std::vector<ValueAverage> wanted;
  for (std::size_t at = 0; at < roundings.size(); ++at) {
    wanted.push_back({roundings[at].first, roundings[at].second,
                      [&only_seen, &samples, at](std::size_t sample, std::size_t first,
                                                 std::span<double> weights) {
                        only_seen = only_seen && !weights.empty()
                                    && first + weights.size() <= samples[sample].nope.size();
                        for (std::size_t j = 0; j < weights.size(); ++j) {
                          weights[j] = some_weight(at, sample, first + j);
                        }
                      }});
  }
  for (const std::int64_t block : {0, 256}) {
    problem.key_block = block;
    const auto averages = average_values(problem, samples, wanted);
    REQUIRE(averages.size() == wanted.size());
    for (std::size_t at = 0; at < wanted.size(); ++at) {
      REQUIRE(averages[at].size() == 3 * samples.size());
      for (std::size_t i = 0; i < samples.size(); ++i) {
        for (std::int64_t column = 0; column < 3; ++column) {
          double sum = 0.0;
          for (std::size_t key = 0; key < samples[i].nope.size(); ++key) {
            const auto token = samples[i].first_key + static_cast<std::int64_t>(key);
            sum += some_weight(at, i, key)
                   * round_to(wanted[at].value, problem.v->at(token, samples[i].head, column));
          }
          CAPTURE(block, at, i, column);
          CHECK(averages[at][3 * i + size(column)]
                == Approx(round_to(wanted[at].average, sum)).epsilon(1e-12).margin(1e-12));
        }
      }
    }
  }
  CHECK(only_seen);
}

TEST_CASE("averages one after the other are of their own head and sequence, whatever came before",
          "[compare][value_average]") {
  reference::Problem problem = problem_of_values(tensors::number_view(5, 40, 2, 3));
  problem.q = tensors::view(std::vector<double>(8), 4, 2, 1);
  // The second sequence shares keys with the first, the last row belongs to none.
  problem.sequences = {{0, 1, 0, 20}, {1, 2, 8, 25}, {2, 3, 25, 40}};
  const std::vector<RowSample> samples = {
      sample_at(1, 2, 25, 15), sample_at(1, 0, 0, 20), sample_at(1, 0, 0, 1),
      sample_at(1, 1, 8, 17),  sample_at(0, 1, 8, 17), sample_at(0, 2, 25, 3),
      sample_at(0, 3, 30, 4),  sample_at(0, 3, 2, 4),  sample_at(0, 3, 2, 0)};
  ValueAverager averager(problem);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto average =
        averager.average(samples[i], 1, some_weights(0, i, samples[i].nope.size()));
    REQUIRE(average.size() == 3);
    for (std::int64_t column = 0; column < 3; ++column) {
      CAPTURE(i, column);
      CHECK(average[size(column)]
            == Approx(averaged(problem, samples[i], i, column)).epsilon(1e-12).margin(1e-12));
    }
  }
}

TEST_CASE("a key of weight 0 does not count, be its value no number", "[compare][value_average]") {
  reference::Problem problem = problem_of_values(tensors::view({std::nan(""), 2.0, 4.0}, 3, 1, 1));
  problem.sequences = {{0, 1, 0, 3}};
  ValueAverager averager(problem);
  CHECK(averager.average(sample_of_keys(0, 3), 1, std::vector{0.0, 1.0, 0.5})[0] == 4.0);
}

TEST_CASE("values of a head are converted once while its samples follow each other",
          "[compare][value_average]") {
  std::vector<double> values(600, 1.0);
  reference::Problem problem = problem_of_values(changing_view(values, 300, 2, 1));
  problem.sequences = {{0, 2, 0, 300}};
  const std::vector<double> weights(300, 1.0);
  ValueAverager averager(problem);
  CHECK(averager.average(sample_at(0, 0, 0, 299), 1, weights)[0] == 299.0);
  std::fill(values.begin(), values.end(), 2.0);
  CHECK(averager.average(sample_at(0, 1, 0, 300), 1, weights)[0] == 300.0);
  CHECK(averager.average(sample_at(1, 0, 0, 299), 1, weights)[0] == 2 * 299.0);
  CHECK(averager.average(sample_at(0, 1, 0, 300), 1, weights)[0] == 2 * 300.0);
}

TEST_CASE("of values or keys that take more than 64 MiB as many are kept as fit",
          "[compare][value_average]") {
  // Keys of 2^14 numbers: 512 fill 64 MiB.
  std::vector<double> values(513, 1.0);
  reference::Problem problem = problem_of_values(changing_view(values, 513, 1, 1));
  problem.q.width = std::int64_t{1} << 14;
  problem.sequences = {{0, 1, 0, 512}, {1, 2, 0, 513}};
  const std::vector<double> weights(513, 1.0);
  ValueAverager averager(problem);
  CHECK(averager.average(sample_at(0, 0, 0, 512), 1, weights)[0] == 512.0);
  std::fill(values.begin(), values.end(), 2.0);
  CHECK(averager.average(sample_at(0, 0, 0, 512), 1, weights)[0] == 512.0);
  CHECK(averager.average(sample_at(0, 1, 0, 513), 1, weights)[0] == 512.0 + 2.0);
  CHECK(averager.average(sample_at(0, 1, 0, 513), 1, weights)[0] == 2 * 513.0);
  std::fill(values.begin(), values.end(), 3.0);
  CHECK(averager.average(sample_at(0, 1, 0, 513), 1, weights)[0] == 3 * 513.0);
}

TEST_CASE("an averager holds the values of the longest sequence, 64 MiB at most",
          "[compare][value_average]") {
  reference::Problem problem = problem_of_values(tensors::number_view(1, 4, 1, 3));
  CHECK(ValueAverager::most_bytes(problem) == 0);
  problem.sequences = {{0, 1, 0, 5}, {1, 2, 5, 105}, {2, 3, 105, 106}};
  CHECK(ValueAverager::most_bytes(problem) == 100 * 3 * 8);
  problem.sequences = {{0, 1, 0, std::int64_t{1} << 22}}; // only its size is looked at
  CHECK(ValueAverager::most_bytes(problem) == 64 << 20);
}

TEST_CASE("so many averagers are at work as hold 256 MiB", "[compare][value_average]") {
  reference::Problem problem = problem_of_values(tensors::number_view(1, 4, 1, 1));
  problem.threads = 16;
  CHECK(ValueAverager::threads(problem) == 16);
  problem.sequences = {{0, 1, 0, std::int64_t{8} << 20}}; // of 64 MiB; only its size is looked at
  CHECK(ValueAverager::threads(problem) == 4);
  problem.sequences = {{0, 1, 0, 6'724'000}}; // a fifth of 256.5 MiB
  CHECK(ValueAverager::threads(problem) == 4);
  problem.threads = 3;
  CHECK(ValueAverager::threads(problem) == 3);
}

TEST_CASE("an averager of latents holds the keys with them", "[compare][value_average]") {
  reference::Problem problem;
  problem.form = reference::Form::absorbed;
  problem.q = tensors::number_view(1, 1, 2, 5);
  problem.kv_c = tensors::number_view(2, 4, 1, 4);
  problem.qk_rope_head_dim = 2;
  problem.sequences = {{0, 1, 0, 100}};
  // Latents of 4 numbers, and keys of 4 + 2.
  CHECK(ValueAverager::most_bytes(problem) == 100 * (4 + 6) * 8);
  problem.sequences = {{0, 1, 0, std::int64_t{1} << 22}};
  CHECK(ValueAverager::most_bytes(problem) == 128 << 20);
  problem.form = reference::Form::latent;
  problem.w_uv = tensors::number_view(3, 7, 2, 4);
  problem.sequences = {{0, 1, 0, 100}};
  CHECK(ValueAverager::most_bytes(problem) == 100 * 7 * 8);
}

TEST_CASE("samples are thinned evenly", "[compare][value_average]") {
  const reference::Problem problem = problem_of_values(tensors::number_view(1, 4, 1, 3));
  std::vector<RowSample> samples;
  for (std::int64_t row = 0; row < 10; ++row) {
    samples.push_back(sample_at(0, row, 0, 0));
  }
  std::vector<std::int64_t> kept;
  for (const RowSample& sample : thinned(problem, samples, 4)) {
    kept.push_back(sample.row);
  }
  CHECK(kept == std::vector<std::int64_t>{0, 2, 5, 7});
  CHECK(thinned(problem, {}, 4).empty());
}

TEST_CASE("of a large capture so many heads are kept as 256 MiB hold the values of",
          "[compare][value_average]") {
  // Only sizes are looked at: values of a head take 32 MiB, those of all with the keys 768 MiB.
  reference::Problem problem = problem_of_values(tensors::number_view(1, 4, 12, 1));
  problem.k = tensors::number_view(1, 4, 12, 1);
  problem.k->tokens = std::int64_t{1} << 22;
  problem.v->tokens = std::int64_t{1} << 22;
  std::vector<RowSample> samples;
  for (const std::int64_t head : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
    samples.push_back(sample_at(head, 0, 0, 5));
    samples.push_back(sample_at(head, 1, 0, 5));
  }
  std::vector<std::int64_t> kept;
  for (const RowSample& sample : thinned(problem, samples, 1000)) {
    kept.push_back(sample.head);
  }
  CHECK(kept == std::vector<std::int64_t>{0, 0, 1, 1, 3, 3, 4, 4, 6, 6, 7, 7, 9, 9, 11, 11});
}

TEST_CASE("several averages of a sample are several rows of columns", "[compare][value_average]") {
  reference::Problem problem = problem_of_values(tensors::number_view(7, 5, 1, 3));
  problem.sequences = {{0, 1, 0, 5}};
  const RowSample sample = sample_of_keys(0, 5);
  std::vector<double> weights;
  for (std::size_t index = 0; index < 3; ++index) {
    const auto some = some_weights(0, index, 5);
    weights.insert(weights.end(), some.begin(), some.end());
  }
  const auto averages = ValueAverager(problem).average(sample, 3, weights);
  REQUIRE(averages.size() == 9);
  for (std::size_t index = 0; index < 3; ++index) {
    for (std::int64_t column = 0; column < 3; ++column) {
      CHECK(averages[3 * index + size(column)]
            == Approx(averaged(problem, sample, index, column)).epsilon(1e-12).margin(1e-12));
    }
  }
}
