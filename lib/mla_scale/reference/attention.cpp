#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/work_units.hpp>
#include <mla_scale/reference/worker.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

namespace mla_scale::reference {
namespace {

constexpr double k_minus_infinity = -std::numeric_limits<double>::infinity();

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

template <typename Real>
void run_units(const Problem& problem, const std::vector<Unit>& units,
               const BlockConsumer& consumer) {
  std::size_t most_rows = 0;
  for (const Unit& unit : units) {
    most_rows = std::max(most_rows, unit.rows.size() * unit.heads.size());
  }
  // A worker's buffers are worth keeping: the first touch of fresh memory is dear.
  std::vector<std::unique_ptr<Worker<Real>>> idle;
  std::mutex idle_guard;
  parallel_for(units.size(), static_cast<unsigned>(problem.threads), [&](std::size_t unit) {
    std::unique_ptr<Worker<Real>> worker;
    {
      const std::lock_guard lock(idle_guard);
      if (!idle.empty()) {
        worker = std::move(idle.back());
        idle.pop_back();
      }
    }
    if (worker == nullptr) {
      worker = std::make_unique<Worker<Real>>(problem, static_cast<std::int64_t>(most_rows));
    }
    worker->run(units[unit], consumer);
    const std::lock_guard lock(idle_guard);
    idle.push_back(std::move(worker));
  });
}

} // namespace

Result<Work> attend(const Problem& asked, const BlockConsumer& consumer) {
  if (const auto valid = validate(asked); !valid) {
    return valid.error();
  }
  const auto start = std::chrono::steady_clock::now();
  const Problem problem = in_cheapest_form(asked);
  const std::vector<std::int64_t> heads = problem.chosen_heads();
  const std::vector<std::int64_t> rows = problem.chosen_rows();
  const std::vector<Unit> units = cut(problem, heads, rows);
  if (problem.precision == Precision::f64) {
    run_units<double>(problem, units, consumer);
  } else {
    run_units<float>(problem, units, consumer);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return Work{elapsed.count(), count_flops(problem, units)};
}

Result<Attention> compute(const Problem& problem) {
  if (const auto valid = validate(problem); !valid) {
    return valid.error();
  }
  Attention result;
  result.heads = problem.chosen_heads();
  result.rows = problem.chosen_rows();
  result.v_width = problem.v_width();
  // Reserved first, so that no small page is touched before large ones are asked for.
  const std::size_t size_of_out = result.rows.size() * result.heads.size() * size(result.v_width);
  result.out.reserve(size_of_out);
  prefer_large_pages(result.out.data(), size_of_out * sizeof(double));
  result.out.resize(size_of_out);
  result.lse.resize(result.rows.size() * result.heads.size());
  const auto place = [](const std::vector<std::int64_t>& sorted, std::int64_t value) {
    return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), value)
                                    - sorted.begin());
  };
  const auto work = attend(problem, [&](const OutputBlock& block) {
    const std::size_t head = place(result.heads, block.head);
    const std::size_t first = place(result.rows, block.rows.front());
    const std::size_t width = size(result.v_width);
    for (std::size_t i = 0; i < block.rows.size(); ++i) {
      const std::size_t slot = (first + i) * result.heads.size() + head;
      std::copy_n(block.out.data() + i * width, width, result.out.data() + slot * width);
      result.lse[slot] = block.lse[i];
    }
  });
  if (!work) {
    return work.error();
  }
  result.work = *work;
  return result;
}

void merge_partial(std::span<double> out, double& lse, std::span<const double> other_out,
                   double other_lse) {
  if (other_lse == k_minus_infinity) {
    return;
  }
  if (lse == k_minus_infinity) {
    std::copy(other_out.begin(), other_out.end(), out.begin());
    lse = other_lse;
    return;
  }
  const double maximum = std::max(lse, other_lse);
  const double weight = std::exp(lse - maximum);
  const double other_weight = std::exp(other_lse - maximum);
  const double sum = weight + other_weight;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = (weight * out[i] + other_weight * other_out[i]) / sum;
  }
  lse = maximum + std::log(sum);
}

} // namespace mla_scale::reference
