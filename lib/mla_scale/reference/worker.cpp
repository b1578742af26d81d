#include <mla_scale/core/number.hpp>
#include <mla_scale/reference/kernel_choice.hpp>
#include <mla_scale/reference/worker.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace mla_scale::reference {
namespace {

std::int64_t value_width_of(const Problem& problem) {
  return problem.form == Form::absorbed ? problem.kv_c->width : problem.v_width();
}

template <typename Real>
std::size_t bytes_of_state(std::int64_t rows, std::int64_t average_rows) {
  return Arena::bytes_for<Real>(rows) + Arena::bytes_for<double>(rows)
         + Arena::bytes_for<Real>(rows * average_rows);
}

/// A state in which no key was seen yet.
template <typename Real>
void clear(const OnlineSoftmax<Real>& state, std::int64_t rows, std::int64_t average_rows) {
  std::fill_n(state.maximum, rows, -std::numeric_limits<Real>::infinity());
  std::fill_n(state.sum, rows, 0.0);
  std::fill_n(state.average, rows * average_rows, Real{0});
}

template <typename Real>
OnlineSoftmax<Real> take_state(Arena& arena, std::int64_t rows, std::int64_t average_rows) {
  OnlineSoftmax<Real> state;
  state.maximum = arena.take<Real>(rows);
  state.sum = arena.take<double>(rows);
  state.average = arena.take<Real>(rows * average_rows);
  return state;
}

/// Rows of a unit's panels, lanes without a row included.
template <typename Real>
std::int64_t panel_rows(const Problem& problem, const Unit& unit) {
  const std::int64_t lanes = functions_of<Real>(problem.kernel_in_use()).lanes;
  const auto rows = static_cast<std::int64_t>(unit.rows.size() * unit.heads.size());
  return (rows + lanes - 1) / lanes * lanes;
}

} // namespace

template <typename Real>
Worker<Real>::Worker(const Problem& problem, std::int64_t most_rows)
    : m_problem(problem), m_kernel(functions_of<Real>(problem.kernel_in_use())) {
  const std::int64_t lanes = m_kernel.lanes;
  const bool absorbed = problem.form == Form::absorbed;
  m_key_width = absorbed ? problem.kv_c->width + problem.qk_rope_head_dim : problem.q.width;
  m_value_width = value_width_of(problem);
  m_average_rows = m_value_width + k_kernel_slack;
  const std::int64_t rows = (most_rows + lanes - 1) / lanes * lanes;
  const std::int64_t tile = k_tile_keys + k_kernel_slack;
  const std::int64_t query = rows * m_key_width;
  const std::int64_t key = tile * m_key_width;
  // The kernel reads on by columns of the last value, too.
  const std::int64_t value = absorbed ? 0 : tile * m_value_width;
  const std::int64_t scratch = lanes * std::max(tile, problem.v_width() + k_kernel_slack);
  const std::int64_t one_panel = lanes * (m_key_width + k_kernel_slack);
  const std::int64_t out = rows * problem.v_width();
  std::size_t bytes = bytes_of_state<Real>(rows, m_average_rows) + Arena::bytes_for<double>(out);
  for (const std::int64_t count : {query, key, value, scratch, one_panel}) {
    bytes += Arena::bytes_for<Real>(count);
  }
  m_arena = Arena(bytes);
  m_query = m_arena.take<Real>(query);
  m_own = take_state<Real>(m_arena, rows, m_average_rows);
  m_state = m_own;
  m_key = m_arena.take<Real>(key);
  m_value = absorbed ? m_key : m_arena.take<Real>(value);
  m_scratch = m_arena.take<Real>(scratch);
  m_one_panel = m_arena.take<Real>(one_panel);
  m_out = m_arena.take<double>(out);
}

template <typename Real>
void Worker<Real>::load_queries(const Unit& unit) {
  const std::int64_t lanes = m_kernel.lanes;
  const auto rows = static_cast<std::int64_t>(unit.rows.size());
  m_rows = rows * static_cast<std::int64_t>(unit.heads.size());
  m_seen.assign(size(panels() * lanes), 0);
  std::fill_n(m_query, panels() * lanes * m_key_width, Real{0});
  m_heads.clear();
  std::vector<Real> factors;
  for (const std::int64_t row : unit.rows) {
    factors.push_back(static_cast<Real>(m_problem.row_scale(row)));
  }
  std::int64_t to = 0;
  for (const std::int64_t head : unit.heads) {
    KeyTiles<Real>& tiles = m_heads.emplace_back(m_problem, head);
    for (std::int64_t first = 0; first < rows; first += lanes) {
      const std::int64_t count = std::min(lanes, rows - first);
      tiles.load_queries(unit.rows.subspan(size(first), size(count)),
                         std::span(factors).subspan(size(first), size(count)), m_one_panel);
      for (std::int64_t i = 0; i < count; ++i, ++to) {
        Real* const lane = m_query + place(to, m_key_width);
        for (std::int64_t c = 0; c < m_key_width; ++c) {
          lane[c * lanes] = m_one_panel[c * lanes + i];
        }
        m_seen[size(to)] = m_problem.visible_keys(unit.sequence, unit.rows[size(first + i)]);
      }
    }
  }
}

template <typename Real>
void Worker<Real>::attend_tile(std::int64_t first, std::int64_t count) {
  const std::int64_t lanes = m_kernel.lanes;
  m_visible.resize(size(lanes));
  for (std::int64_t panel = 0; panel < panels(); ++panel) {
    std::int64_t keys = 0;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      m_visible[size(lane)] =
          std::clamp(m_seen[size(panel * lanes + lane)] - first, std::int64_t{0}, count);
      keys = std::max(keys, m_visible[size(lane)]);
    }
    if (keys > 0) {
      m_kernel.attend(
          {keys, m_key_width, m_value_width, m_query + panel * lanes * m_key_width, m_key,
           m_key_width, m_value, m_heads.front().values_in_keys() ? m_key_width : m_value_width,
           m_visible.data(), m_state.maximum + panel * lanes, m_state.sum + panel * lanes,
           m_state.average + panel * lanes * m_average_rows, m_scratch});
    }
  }
}

template <typename Real>
void Worker<Real>::attend_keys(const Unit& unit, std::int64_t begin, std::int64_t end) {
  for (std::int64_t first = begin; first < end; first += k_tile_keys) {
    const std::int64_t count = std::min(k_tile_keys, end - first);
    m_heads.front().load(unit.sequence.key_begin + first, count, m_key, m_value);
    attend_tile(first, count);
  }
}

template <typename Real>
void Worker<Real>::divide_by_sum() {
  const std::int64_t lanes = m_kernel.lanes;
  std::vector<Real> shares(size(lanes));
  for (std::int64_t panel = 0; panel < panels(); ++panel) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const double sum = m_state.sum[panel * lanes + lane];
      shares[size(lane)] = sum == 0.0 ? Real{0} : static_cast<Real>(1.0 / sum);
      m_lse[size(panel * lanes + lane)] =
          sum == 0.0 ? -k_infinity
                     : static_cast<double>(m_state.maximum[panel * lanes + lane]) + std::log(sum);
    }
    Real* const averages = m_state.average + panel * lanes * m_average_rows;
    for (std::int64_t c = 0; c < m_value_width; ++c) {
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        averages[c * lanes + lane] *= shares[size(lane)];
      }
    }
  }
}

template <typename Real>
void Worker<Real>::merge_chunk() {
  const std::int64_t lanes = m_kernel.lanes;
  std::vector<double> partial(size(m_value_width));
  for (std::int64_t row = 0; row < m_rows; ++row) {
    const Real* const average = m_state.average + place(row, m_average_rows);
    for (std::int64_t c = 0; c < m_value_width; ++c) {
      partial[size(c)] = static_cast<double>(average[c * lanes]);
    }
    const std::span merged = std::span(m_merged).subspan(size(row * m_value_width), partial.size());
    merge_partial(merged, m_merged_lse[size(row)], partial, m_lse[size(row)]);
  }
}

template <typename Real>
void Worker<Real>::attend_chunks(const Unit& unit, std::int64_t keys) {
  const std::int64_t lanes = m_kernel.lanes;
  m_merged.assign(size(m_rows * m_value_width), 0.0);
  m_merged_lse.assign(size(panels() * lanes), -k_infinity);
  for (std::int64_t begin = 0; begin < keys; begin += m_problem.key_chunk) {
    clear(m_state, panels() * lanes, m_average_rows);
    attend_keys(unit, begin, std::min(keys, begin + m_problem.key_chunk));
    divide_by_sum();
    merge_chunk();
  }
  for (std::int64_t row = 0; row < m_rows; ++row) {
    Real* const average = m_state.average + place(row, m_average_rows);
    for (std::int64_t c = 0; c < m_value_width; ++c) {
      average[c * lanes] = static_cast<Real>(m_merged[size(row * m_value_width + c)]);
    }
  }
  m_lse = m_merged_lse;
}

template <typename Real>
void Worker<Real>::deliver(const Unit& unit, const BlockConsumer& consumer) {
  const std::int64_t lanes = m_kernel.lanes;
  const std::int64_t width = m_problem.v_width();
  const auto rows = static_cast<std::int64_t>(unit.rows.size());
  for (std::size_t h = 0; h < unit.heads.size(); ++h) {
    const std::int64_t first = static_cast<std::int64_t>(h) * rows;
    const std::span lse = std::span<const double>(m_lse).subspan(size(first), size(rows));
    for (std::int64_t i = 0; i < rows; ++i) {
      if (m_heads[h].values_in_keys() && i % lanes == 0) {
        gather_averages(first + i, std::min(lanes, rows - i));
        m_heads[h].finish_panel(m_one_panel, m_scratch);
      }
      const Real* const from = m_heads[h].values_in_keys()
                                   ? m_scratch + i % lanes
                                   : m_state.average + place(first + i, m_average_rows);
      const double share =
          m_problem.sinks.empty()
              ? 1.0
              : 1.0 / (1.0 + std::exp(m_problem.sinks[size(unit.heads[h])] - lse[size(i)]));
      for (std::int64_t c = 0; c < width; ++c) {
        m_out[i * width + c] = share * static_cast<double>(from[c * lanes]);
      }
      if (lse[size(i)] == -k_infinity) {
        std::fill_n(m_out + i * width, width, 0.0);
      }
    }
    consumer({unit.heads[h], unit.rows, std::span<const double>(m_out, size(rows * width)), lse});
  }
}

template <typename Real>
void Worker<Real>::gather_averages(std::int64_t first, std::int64_t count) {
  const std::int64_t lanes = m_kernel.lanes;
  for (std::int64_t i = 0; i < count; ++i) {
    const Real* const from = m_state.average + place(first + i, m_average_rows);
    for (std::int64_t c = 0; c < m_value_width; ++c) {
      m_one_panel[c * lanes + i] = from[c * lanes];
    }
  }
}

template <typename Real>
std::int64_t Worker<Real>::keys_seen() const {
  return *std::max_element(m_seen.begin(), m_seen.end());
}

template <typename Real>
void Worker<Real>::run(const Unit& unit, const BlockConsumer& consumer) {
  load_queries(unit);
  m_state = m_own;
  m_lse.resize(m_seen.size());
  const std::int64_t keys = keys_seen();
  if (m_problem.key_chunk > 0 && m_problem.key_chunk < keys) {
    attend_chunks(unit, keys);
  } else {
    clear(m_state, panels() * m_kernel.lanes, m_average_rows);
    attend_keys(unit, 0, keys);
    divide_by_sum();
  }
  deliver(unit, consumer);
}

template <typename Real>
std::size_t Worker<Real>::state_bytes(const Problem& problem, const Unit& unit) {
  return bytes_of_state<Real>(panel_rows<Real>(problem, unit),
                              value_width_of(problem) + k_kernel_slack);
}

template <typename Real>
OnlineSoftmax<Real> Worker<Real>::start(const Problem& problem, const Unit& unit, Arena& arena) {
  const std::int64_t rows = panel_rows<Real>(problem, unit);
  const std::int64_t average_rows = value_width_of(problem) + k_kernel_slack;
  const OnlineSoftmax<Real> state = take_state<Real>(arena, rows, average_rows);
  clear(state, rows, average_rows);
  return state;
}

template <typename Real>
void Worker<Real>::attend(const Unit& unit, const OnlineSoftmax<Real>& state, std::int64_t begin,
                          std::int64_t end) {
  load_queries(unit);
  m_state = state;
  attend_keys(unit, begin, std::min(end, keys_seen()));
}

template <typename Real>
void Worker<Real>::finish(const Unit& unit, const OnlineSoftmax<Real>& state,
                          const BlockConsumer& consumer) {
  load_queries(unit);
  m_state = state;
  m_lse.resize(m_seen.size());
  divide_by_sum();
  deliver(unit, consumer);
}

template class Worker<double>;
template class Worker<float>;

} // namespace mla_scale::reference
