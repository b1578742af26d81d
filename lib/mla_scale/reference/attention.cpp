#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/key_blocks.hpp>
#include <mla_scale/reference/work_units.hpp>
#include <mla_scale/reference/worker.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <mutex>

namespace mla_scale::reference {
namespace {

constexpr std::size_t k_state_bytes = std::size_t{64} << 20;

/// Workers that are not at work. A worker's buffers are worth keeping: the first touch of fresh
/// memory is dear.
template <typename Real>
class Workers {
public:
  Workers(const Problem& problem, const std::vector<Unit>& units) : m_problem(problem) {
    for (const Unit& unit : units) {
      m_most_rows = std::max(m_most_rows, unit.rows.size() * unit.heads.size());
    }
  }

  template <typename Use>
  void with(const Use& use) {
    std::unique_ptr<Worker<Real>> worker;
    {
      const std::lock_guard lock(m_guard);
      if (!m_idle.empty()) {
        worker = std::move(m_idle.back());
        m_idle.pop_back();
      }
    }
    if (worker == nullptr) {
      worker = std::make_unique<Worker<Real>>(m_problem, static_cast<std::int64_t>(m_most_rows));
    }
    use(*worker);
    const std::lock_guard lock(m_guard);
    m_idle.push_back(std::move(worker));
  }

private:
  const Problem& m_problem;
  std::size_t m_most_rows = 0;
  std::vector<std::unique_ptr<Worker<Real>>> m_idle;
  std::mutex m_guard;
};

/// One computation: what all its units need.
struct Run {
  const Problem& problem;
  const BlockConsumer& consumer;
  const PairsDone& done;

  void each(std::size_t count, const std::function<void(std::size_t)>& body) const {
    parallel_for(count, static_cast<unsigned>(problem.threads), body);
  }
  void tell(double pairs) const {
    if (done) {
      done(pairs);
    }
  }
};

template <typename Real>
void run_units(const Run& run, const std::vector<Unit>& units) {
  Workers<Real> workers(run.problem, units);
  run.each(units.size(), [&](std::size_t unit) {
    workers.with([&](Worker<Real>& worker) { worker.run(units[unit], run.consumer); });
    run.tell(units[unit].pairs);
  });
}

/// Keys that a unit's rows see.
std::int64_t keys_seen(const Problem& problem, const Unit& unit) {
  return unit.rows.empty() ? 0 : problem.visible_keys(unit.sequence, unit.rows.back());
}

/// Pairs of the unit whose key is one of the first `keys` of the sequence.
double pairs_before(const Problem& problem, const Unit& unit, std::int64_t keys) {
  double pairs = 0.0;
  for (const std::int64_t row : unit.rows) {
    pairs += static_cast<double>(std::min(problem.visible_keys(unit.sequence, row), keys));
  }
  return pairs * static_cast<double>(unit.heads.size());
}

/// Units of one sequence, over the same keys block by block.
template <typename Real>
void run_group(const Run& run, std::span<const Unit> units, Workers<Real>& workers) {
  const Problem& problem = run.problem;
  std::size_t bytes = 0;
  std::int64_t keys = 0;
  for (const Unit& unit : units) {
    bytes += Worker<Real>::state_bytes(problem, unit);
    keys = std::max(keys, keys_seen(problem, unit));
  }
  Arena arena(bytes);
  std::vector<OnlineSoftmax<Real>> states;
  for (const Unit& unit : units) {
    states.push_back(Worker<Real>::start(problem, unit, arena));
  }
  const std::int64_t block = std::min(keys_per_block(problem), keys);
  const std::int64_t first_key = units.front().sequence.key_begin;
  expect_keys(problem, first_key, block);
  for (std::int64_t begin = 0; begin < keys; begin += block) {
    const std::int64_t end = std::min(begin + block, keys);
    expect_keys(problem, first_key + end, std::min(block, keys - end));
    run.each(units.size(), [&](std::size_t i) {
      if (begin < keys_seen(problem, units[i])) {
        workers.with([&](Worker<Real>& worker) { worker.attend(units[i], states[i], begin, end); });
        run.tell(pairs_before(problem, units[i], end) - pairs_before(problem, units[i], begin));
      }
    });
  }
  run.each(units.size(), [&](std::size_t i) {
    workers.with([&](Worker<Real>& worker) { worker.finish(units[i], states[i], run.consumer); });
  });
}

/// Runs units in groups that have their states in memory.
template <typename Real>
void run_in_blocks(const Run& run, std::vector<Unit> units) {
  std::stable_sort(units.begin(), units.end(),
                   [](const Unit& a, const Unit& b) { return a.rows.front() < b.rows.front(); });
  Workers<Real> workers(run.problem, units);
  for (std::size_t first = 0; first < units.size();) {
    std::size_t last = first;
    std::size_t bytes = 0;
    while (last < units.size()
           && units[last].sequence.key_begin == units[first].sequence.key_begin) {
      bytes += Worker<Real>::state_bytes(run.problem, units[last]);
      if (bytes > k_state_bytes && last > first) {
        break;
      }
      ++last;
    }
    run_group(run, std::span(units).subspan(first, last - first), workers);
    first = last;
  }
}

template <typename Real>
void run_all(const Run& run, const std::vector<Unit>& units) {
  const Problem& problem = run.problem;
  if (problem.key_chunk == 0 && (problem.key_block > 0 || is_large(problem))) {
    run_in_blocks<Real>(run, units);
  } else {
    run_units<Real>(run, units);
  }
}

} // namespace

Result<Work> attend(const Problem& asked, const BlockConsumer& consumer, const PairsDone& done) {
  if (const auto valid = validate(asked); !valid) {
    return valid.error();
  }
  const auto start = std::chrono::steady_clock::now();
  const Problem problem = in_cheapest_form(asked);
  const std::vector<std::int64_t> heads = problem.chosen_heads();
  const std::vector<std::int64_t> rows = problem.chosen_rows();
  const std::vector<Unit> units = cut(problem, heads, rows);
  const Run run{problem, consumer, done};
  if (problem.precision == Precision::f64) {
    run_all<double>(run, units);
  } else {
    run_all<float>(run, units);
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
  if (other_lse == -k_infinity) {
    return;
  }
  if (lse == -k_infinity) {
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
