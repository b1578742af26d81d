#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/attend_block.hpp>
#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/key_tiles.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

namespace mla_scale::reference {
namespace {

constexpr std::int64_t k_block_rows = 64; // of queries in one call of the kernel
constexpr std::int64_t k_tile_keys = 256;
constexpr double k_minus_infinity = -std::numeric_limits<double>::infinity();

/// Query rows that share each tile of keys. From the latent a tile costs rank · (nope + v)
/// multiplications a key, so more rows must share it.
std::int64_t rows_per_unit(Form form) {
  return form == Form::latent ? 2048 : 512;
}

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

/// One piece of work: some rows of one sequence of one head. Cut the same way whatever the number
/// of threads.
struct Unit {
  std::int64_t head = 0;
  tensor::Sequence sequence;
  std::span<const std::int64_t> rows;
};

std::vector<Unit> cut(const Problem& problem, const std::vector<std::int64_t>& heads,
                      const std::vector<std::int64_t>& rows) {
  std::vector<Unit> units;
  const std::int64_t limit = rows_per_unit(problem.form);
  for (const std::int64_t head : heads) {
    for (std::size_t first = 0; first < rows.size();) {
      // A row outside every sequence sees no key.
      const tensor::Sequence sequence =
          problem.sequence_of(rows[first])
              .value_or(tensor::Sequence{rows[first], rows[first] + 1, 0, 0});
      std::size_t last = first;
      while (last < rows.size() && rows[last] < sequence.query_end && last - first < size(limit)) {
        ++last;
      }
      units.push_back({head, sequence, std::span(rows).subspan(first, last - first)});
      first = last;
    }
  }
  return units;
}

/// Everything that one unit needs; reused from unit to unit of the same thread.
template <typename Real>
class Worker {
public:
  explicit Worker(const Problem& problem) : m_problem(problem) {}

  void run(const Unit& unit, const BlockConsumer& consumer);

private:
  void load_queries(const Unit& unit, KeyTiles<Real>& tiles);
  void attend_keys(const Unit& unit, KeyTiles<Real>& tiles, std::int64_t begin, std::int64_t end);
  void merge_chunk(const Unit& unit, const KeyTiles<Real>& tiles);
  void deliver(const Unit& unit, const KeyTiles<Real>& tiles, const BlockConsumer& consumer);

  const Problem& m_problem;
  std::vector<Real> m_query;
  std::vector<Real> m_key;
  std::vector<Real> m_value;
  std::vector<Real> m_scratch;
  std::vector<Real> m_average;
  std::vector<double> m_maximum;
  std::vector<double> m_sum;
  std::vector<std::int64_t> m_seen;    // keys that each row of the unit sees
  std::vector<std::int64_t> m_visible; // of them, those in the tile
  std::vector<double> m_partial;
  std::vector<double> m_merged;
  std::vector<double> m_lse;
  std::vector<double> m_out;
};

template <typename Real>
void Worker<Real>::load_queries(const Unit& unit, KeyTiles<Real>& tiles) {
  m_query.resize(unit.rows.size() * size(tiles.key_width()));
  m_seen.clear();
  for (std::size_t i = 0; i < unit.rows.size(); ++i) {
    const std::int64_t row = unit.rows[i];
    tiles.load_query(row, static_cast<Real>(m_problem.row_scale(row)),
                     m_query.data() + i * size(tiles.key_width()));
    m_seen.push_back(m_problem.visible_keys(unit.sequence, row));
  }
}

template <typename Real>
void Worker<Real>::attend_keys(const Unit& unit, KeyTiles<Real>& tiles, std::int64_t begin,
                               std::int64_t end) {
  const auto rows = static_cast<std::int64_t>(unit.rows.size());
  const std::int64_t key_width = tiles.key_width();
  const std::int64_t value_width = tiles.value_width();
  m_maximum.assign(unit.rows.size(), k_minus_infinity);
  m_sum.assign(unit.rows.size(), 0.0);
  m_average.assign(unit.rows.size() * size(value_width), Real{0});
  m_key.resize(size(k_tile_keys * key_width));
  m_value.resize(tiles.values_in_keys() ? 0 : size(k_tile_keys * value_width));
  m_scratch.resize(size(k_block_rows * k_tile_keys));
  m_visible.resize(unit.rows.size());

  for (std::int64_t first = begin; first < end; first += k_tile_keys) {
    const std::int64_t count = std::min(k_tile_keys, end - first);
    tiles.load(unit.sequence.key_begin + first, count, m_key.data(), m_value.data());
    for (std::size_t i = 0; i < unit.rows.size(); ++i) {
      m_visible[i] = std::clamp(m_seen[i] - first, std::int64_t{0}, count);
    }
    for (std::int64_t row = 0; row < rows; row += k_block_rows) {
      const std::int64_t last = std::min(rows, row + k_block_rows);
      std::int64_t seeing = row;
      while (seeing < last && m_visible[size(seeing)] == 0) {
        ++seeing;
      }
      if (seeing == last) {
        continue;
      }
      AttendBlock<Real> block;
      block.rows = last - seeing;
      block.keys = m_visible[size(last - 1)];
      block.key_width = key_width;
      block.value_width = value_width;
      block.query = m_query.data() + seeing * key_width;
      block.key = m_key.data();
      block.key_stride = key_width;
      block.value = tiles.values_in_keys() ? m_key.data() : m_value.data();
      block.value_stride = tiles.values_in_keys() ? key_width : value_width;
      block.visible = m_visible.data() + seeing;
      block.maximum = m_maximum.data() + seeing;
      block.sum = m_sum.data() + seeing;
      block.average = m_average.data() + seeing * value_width;
      block.scratch = m_scratch.data();
      attend_block(block);
    }
  }
}

template <typename Real>
void Worker<Real>::merge_chunk(const Unit& unit, const KeyTiles<Real>& tiles) {
  const std::size_t width = size(tiles.value_width());
  m_partial.resize(width);
  for (std::size_t i = 0; i < unit.rows.size(); ++i) {
    if (m_sum[i] == 0.0) {
      continue;
    }
    for (std::size_t c = 0; c < width; ++c) {
      m_partial[c] = static_cast<double>(m_average[i * width + c]) / m_sum[i];
    }
    merge_partial(std::span(m_merged).subspan(i * width, width), m_lse[i], m_partial,
                  m_maximum[i] + std::log(m_sum[i]));
  }
}

template <typename Real>
void Worker<Real>::deliver(const Unit& unit, const KeyTiles<Real>& tiles,
                           const BlockConsumer& consumer) {
  const std::size_t width = size(m_problem.v_width());
  const std::size_t value_width = size(tiles.value_width());
  m_out.assign(unit.rows.size() * width, 0.0);
  for (std::size_t i = 0; i < unit.rows.size(); ++i) {
    if (m_lse[i] == k_minus_infinity) {
      continue;
    }
    double* out = m_out.data() + i * width;
    tiles.finish(m_merged.data() + i * value_width, out);
    if (!m_problem.sinks.empty()) {
      const double share = 1.0 / (1.0 + std::exp(m_problem.sinks[size(unit.head)] - m_lse[i]));
      std::for_each(out, out + width, [share](double& x) { x *= share; });
    }
  }
  consumer({unit.head, unit.rows, m_out, m_lse});
}

template <typename Real>
void Worker<Real>::run(const Unit& unit, const BlockConsumer& consumer) {
  KeyTiles<Real> tiles(m_problem, unit.head);
  load_queries(unit, tiles);
  m_merged.assign(unit.rows.size() * size(tiles.value_width()), 0.0);
  m_lse.assign(unit.rows.size(), k_minus_infinity);
  const std::int64_t keys = m_seen.back(); // the last row sees most
  const std::int64_t chunk =
      m_problem.key_chunk > 0 ? m_problem.key_chunk : std::max(keys, std::int64_t{1});
  for (std::int64_t begin = 0; begin < keys; begin += chunk) {
    attend_keys(unit, tiles, begin, std::min(keys, begin + chunk));
    merge_chunk(unit, tiles);
  }
  deliver(unit, tiles, consumer);
}

template <typename Real>
void run_units(const Problem& problem, const std::vector<Unit>& units,
               const BlockConsumer& consumer) {
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
      worker = std::make_unique<Worker<Real>>(problem);
    }
    worker->run(units[unit], consumer);
    const std::lock_guard lock(idle_guard);
    idle.push_back(std::move(worker));
  });
}

double count_flops(const Problem& problem, const std::vector<Unit>& units) {
  double pairs = 0.0;
  for (const Unit& unit : units) {
    for (const std::int64_t row : unit.rows) {
      pairs += static_cast<double>(problem.visible_keys(unit.sequence, row));
    }
  }
  const std::int64_t rank = problem.form == Form::absorbed ? problem.kv_c->width : 0;
  const std::int64_t width = problem.form == Form::absorbed ? 2 * rank + problem.qk_rope_head_dim
                                                            : problem.q.width + problem.v_width();
  return 2.0 * pairs * static_cast<double>(width);
}

} // namespace

Result<Work> attend(const Problem& problem, const BlockConsumer& consumer) {
  if (const auto valid = validate(problem); !valid) {
    return valid.error();
  }
  const auto start = std::chrono::steady_clock::now();
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
  result.out.resize(result.rows.size() * result.heads.size() * size(result.v_width));
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
