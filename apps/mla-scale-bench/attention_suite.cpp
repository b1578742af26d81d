#include "attention_suite.hpp"

#include "naive_attention.hpp"

#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/arena.hpp>
#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/kernel_choice.hpp>

#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

using namespace mla_scale;
using namespace mla_scale::reference;

namespace {

constexpr std::int64_t k_nope = 128;
constexpr std::int64_t k_rope = 64;
constexpr std::int64_t k_value = 128;
constexpr std::int64_t k_rank = 512;

/// A bf16 tensor of numbers in (-1, 1), as a capture would hold it.
tensor::View3 random_view(std::uint64_t seed, std::int64_t tokens, std::int64_t heads,
                          std::int64_t width) {
  const auto count = static_cast<std::size_t>(tokens * heads * width);
  auto arena = std::make_shared<Arena>(count * sizeof(std::uint16_t));
  auto* const values = arena->take<std::uint16_t>(static_cast<std::int64_t>(count));
  std::uint64_t state = seed * 2 + 1;
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const auto number =
        static_cast<float>(static_cast<std::int64_t>(state >> 33U) - (1LL << 30U)) * 0x1p-30F;
    std::uint32_t bits = 0;
    std::memcpy(&bits, &number, sizeof bits);
    values[i] = static_cast<std::uint16_t>(bits >> 16U);
  }
  auto made = std::make_shared<tensor::Tensor>();
  made->dtype = tensor::Dtype::bf16;
  made->shape = {tokens, heads, width};
  made->strides = {heads * width, width, 1};
  made->data = reinterpret_cast<const std::byte*>(values);
  made->owner = arena;
  tensor::View3 view;
  view.tensor = made;
  view.tokens = tokens;
  view.heads = heads;
  view.width = width;
  view.token_stride = heads * width;
  view.head_stride = width;
  view.width_stride = 1;
  return view;
}

/// The whole output in memory, as every contender must write it.
struct Output {
  explicit Output(std::int64_t count)
      : arena(static_cast<std::size_t>(count) * sizeof(double)), values(arena.take<double>(count)) {
  }
  Arena arena;
  double* values;
};

void compute_to(const Problem& problem, Output& output) {
  const std::int64_t heads = problem.q.heads;
  const std::int64_t width = problem.v_width();
  const auto done = attend(problem, [&](const OutputBlock& block) {
    for (std::size_t i = 0; i < block.rows.size(); ++i) {
      std::memcpy(output.values + (block.rows[i] * heads + block.head) * width,
                  block.out.data() + i * static_cast<std::size_t>(width),
                  static_cast<std::size_t>(width) * sizeof(double));
    }
  });
  if (!done) {
    throw std::runtime_error(to_string(done.error()));
  }
}

/// A problem with the place for its output, and what computing it counts for.
struct Job {
  std::shared_ptr<Problem> problem;
  std::shared_ptr<Output> output;
  double work = 0.0;
};

Job with_output(std::shared_ptr<Problem> problem, double work) {
  const std::int64_t size = problem->q.tokens * problem->q.heads * k_value;
  return {std::move(problem), std::make_shared<Output>(size), work};
}

double causal_pairs(const AttentionShape& shape) {
  const auto queries = static_cast<double>(shape.queries);
  return queries * static_cast<double>(shape.keys - shape.queries) + queries * (queries + 1) / 2;
}

Job prefill_job(const AttentionShape& shape) {
  auto problem = std::make_shared<Problem>();
  problem->q = random_view(1, shape.queries, shape.heads, k_nope + k_rope);
  problem->k = random_view(2, shape.keys, shape.heads, k_nope + k_rope);
  problem->v = random_view(3, shape.keys, shape.heads, k_value);
  problem->qk_rope_head_dim = k_rope;
  problem->softmax_scale = 0.07;
  problem->sequences = {{0, shape.queries, 0, shape.keys}};
  return with_output(problem, 2.0 * causal_pairs(shape)
                                  * static_cast<double>((k_nope + k_rope + k_value) * shape.heads));
}

std::shared_ptr<Problem> latent_problem(const AttentionShape& shape, Form form) {
  auto problem = std::make_shared<Problem>();
  problem->q = random_view(4, shape.queries, shape.heads, k_nope + k_rope);
  problem->kv_c = random_view(5, shape.keys, 1, k_rank);
  problem->k_pe = random_view(6, shape.keys, 1, k_rope);
  problem->w_uk = random_view(7, k_nope, shape.heads, k_rank);
  problem->w_uv = random_view(8, k_value, shape.heads, k_rank);
  problem->form = form;
  problem->qk_rope_head_dim = k_rope;
  problem->softmax_scale = 0.005;
  problem->sequences = {{0, shape.queries, 0, shape.keys}};
  return problem;
}

Contender contender(std::string name, const Job& job, Precision precision, unsigned threads) {
  Problem variant = *job.problem;
  variant.precision = precision;
  variant.threads = static_cast<int>(threads);
  return {std::move(name), job.work,
          [variant, output = job.output] { compute_to(variant, *output); },
          precision == Precision::f32, threads};
}

Group in_both_precisions(std::string name, const Job& job, unsigned threads) {
  Group group{std::move(name), "FLOP", {}, true};
  group.contenders.push_back(contender("mla-scale f64", job, Precision::f64, threads));
  group.contenders.push_back(contender("mla-scale f32", job, Precision::f32, threads));
  return group;
}

template <typename Real, typename Compute>
void naive_heads(const Problem& problem, unsigned threads, Output& output, Compute compute) {
  const std::int64_t length = problem.q.tokens;
  parallel_for(static_cast<std::size_t>(problem.q.heads), threads, [&](std::size_t index) {
    const auto head = static_cast<std::int64_t>(index);
    const std::int64_t widths[] = {problem.q.width, problem.q.width, k_value, k_value};
    std::size_t bytes = Arena::bytes_for<Real>(length * length);
    for (const std::int64_t width : widths) {
      bytes += Arena::bytes_for<Real>(length * width);
    }
    Arena arena(bytes); // on large pages: the kindest to the baseline
    const tensor::View3* const views[] = {&problem.q, &*problem.k, &*problem.v};
    Real* inputs[3];
    for (std::size_t i = 0; i < 3; ++i) {
      inputs[i] = arena.take<Real>(length * widths[i]);
      for (std::int64_t row = 0; row < length; ++row) {
        views[i]->read(row, head, 0, widths[i], inputs[i] + row * widths[i]);
      }
    }
    Real* const out = arena.take<Real>(length * k_value);
    compute(NaiveHead<Real>{length, problem.q.width, k_value,
                            static_cast<Real>(problem.softmax_scale), inputs[0], inputs[1],
                            inputs[2], arena.take<Real>(length * length), out});
    for (std::int64_t row = 0; row < length; ++row) {
      for (std::int64_t c = 0; c < k_value; ++c) {
        output.values[(row * problem.q.heads + head) * k_value + c] =
            static_cast<double>(out[row * k_value + c]);
      }
    }
  });
}

bool has_avx512() {
  return find_kernel("x86-64-v4").has_value();
}

} // namespace

Group prefill_group(const AttentionShape& shape, unsigned threads, bool baselines) {
  const Job job = prefill_job(shape);
  const std::shared_ptr<Problem>& problem = job.problem;
  const std::shared_ptr<Output>& output = job.output;
  const double work = job.work;
  Group group{fmt::format("prefill H={} S={}", shape.heads, shape.queries), "FLOP", {}, true};
  group.contenders.push_back(contender("mla-scale f64", job, Precision::f64, threads));
  group.contenders.push_back(contender("mla-scale f32", job, Precision::f32, threads));
  if (threads > 1) {
    group.contenders.push_back(contender("mla-scale f64, 1 thread", job, Precision::f64, 1));
  }
  if (!baselines) {
    return group;
  }
  const auto add_naive = [&]<typename Real>(std::string name, Real, auto compute) {
    group.contenders.push_back({std::move(name), work,
                                [problem, output, threads, compute] {
                                  naive_heads<Real>(*problem, threads, *output, compute);
                                },
                                sizeof(Real) == sizeof(float), threads});
  };
  const bool avx512 = has_avx512();
  const std::string suffix = avx512 ? " (AVX-512)" : "";
  const auto eigen = [avx512](const auto& head) { naive_eigen(head, avx512); };
  add_naive("Eigen, SxS, f64" + suffix, double{}, eigen);
  add_naive("Eigen, SxS, f32" + suffix, float{}, eigen);
  if (const Gemm<double> gemm = find_openblas(); gemm != nullptr) {
    add_naive("OpenBLAS, SxS, f64", double{},
              [gemm](const NaiveHead<double>& head) { naive_with_gemm(head, gemm); });
  }
  return group;
}

std::vector<unsigned> thread_counts(unsigned most) {
  std::vector<unsigned> counts;
  for (unsigned count = 1; count < most; count *= 2) {
    counts.push_back(count);
  }
  counts.push_back(most);
  return counts;
}

std::string scaling_name(bool f32, unsigned threads) {
  return fmt::format("mla-scale {}, {} thread{}", f32 ? "f32" : "f64", threads,
                     threads == 1 ? "" : "s");
}

Group scaling_group(const AttentionShape& shape, unsigned threads) {
  const Job job = prefill_job(shape);
  Group group{
      fmt::format("scaling, prefill H={} S={}", shape.heads, shape.queries), "FLOP", {}, true};
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    for (const unsigned count : thread_counts(threads)) {
      group.contenders.push_back(
          contender(scaling_name(precision == Precision::f32, count), job, precision, count));
    }
  }
  return group;
}

Group latent_prefill_group(const AttentionShape& shape, unsigned threads) {
  const double per_head =
      causal_pairs(shape) * static_cast<double>(k_nope + k_rope + k_value)
      + static_cast<double>(shape.keys) * static_cast<double>(k_rank * (k_nope + k_value));
  const Job job = with_output(latent_problem(shape, Form::latent),
                              2.0 * per_head * static_cast<double>(shape.heads));
  return in_both_precisions(
      fmt::format("prefill from the latent H={} S={}", shape.heads, shape.queries), job, threads);
}

Group decode_group(const AttentionShape& shape, unsigned threads) {
  const Job job = with_output(latent_problem(shape, Form::absorbed),
                              2.0 * causal_pairs(shape)
                                  * static_cast<double>((2 * k_rank + k_rope) * shape.heads));
  return in_both_precisions(
      fmt::format("decode H={} Tk={} rows={}", shape.heads, shape.keys, shape.queries), job,
      threads);
}

Group sampled_rows_group(const AttentionShape& shape, unsigned threads) {
  Job job = prefill_job(shape);
  Group group{
      fmt::format("sampled rows H={} Tk={} rows={}", shape.heads, shape.keys, shape.queries),
      "FLOP",
      {},
      true};
  group.contenders.push_back(contender("block by block", job, Precision::f64, threads));
  job.problem = std::make_shared<Problem>(*job.problem);
  job.problem->key_block = shape.keys + 256; // one block of all keys
  group.contenders.push_back(contender("head after head", job, Precision::f64, threads));
  return group;
}
