#pragma once

#include <mla_scale/reference/arena.hpp>
#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/key_tiles.hpp>
#include <mla_scale/reference/work_units.hpp>

#include <cstdint>
#include <vector>

namespace mla_scale::reference {

/// Keys that are converted at a time. With values a tile of doubles takes 0.3 MB, in absorbed form
/// 0.6 MB: the second cache holds it while the panels pass.
inline constexpr std::int64_t k_tile_keys = 128;

/// State of the online softmax of a unit's rows, in panels as the kernel wants them.
template <typename Real>
struct OnlineSoftmax {
  Real* maximum = nullptr;
  double* sum = nullptr;
  Real* average = nullptr; ///< panels [value width + k_kernel_slack, lanes]
};

/// Computes units one after the other in the same memory. Row i of a unit, counted over its heads,
/// is lane i % lanes of panel i / lanes.
template <typename Real>
class Worker {
public:
  /// For units of at most `most_rows` rows, counted over their heads.
  Worker(const Problem& problem, std::int64_t most_rows);

  void run(const Unit& unit, const BlockConsumer& consumer);

  /// run() in steps, with the state in memory of the caller, which takes state_bytes() of an arena:
  /// start(), then attend() for ranges of keys in ascending order, then finish(). The result is
  /// that of run() when ranges begin at multiples of k_tile_keys.
  [[nodiscard]] static std::size_t state_bytes(const Problem& problem, const Unit& unit);
  [[nodiscard]] static OnlineSoftmax<Real> start(const Problem& problem, const Unit& unit,
                                                 Arena& arena);
  void attend(const Unit& unit, const OnlineSoftmax<Real>& state, std::int64_t begin,
              std::int64_t end);
  void finish(const Unit& unit, const OnlineSoftmax<Real>& state, const BlockConsumer& consumer);

private:
  void load_queries(const Unit& unit);
  [[nodiscard]] std::int64_t keys_seen() const;
  void attend_keys(const Unit& unit, std::int64_t begin, std::int64_t end);
  void attend_tile(std::int64_t first, std::int64_t count);
  void divide_by_sum();
  void merge_chunk();
  void attend_chunks(const Unit& unit, std::int64_t keys);
  void gather_averages(std::int64_t first, std::int64_t count);
  void deliver(const Unit& unit, const BlockConsumer& consumer);

  [[nodiscard]] std::int64_t panels() const {
    return (m_rows + m_kernel.lanes - 1) / m_kernel.lanes;
  }
  /// Element [0] of row `row` in panels [width, lanes]; the next ones are `lanes` apart.
  [[nodiscard]] std::int64_t place(std::int64_t row, std::int64_t width) const {
    return row / m_kernel.lanes * width * m_kernel.lanes + row % m_kernel.lanes;
  }

  const Problem& m_problem;
  const PanelFunctions<Real>& m_kernel;
  std::vector<KeyTiles<Real>> m_heads; // of the unit
  std::int64_t m_rows = 0;             // of the unit, over its heads
  std::int64_t m_key_width = 0;
  std::int64_t m_value_width = 0;
  std::int64_t m_average_rows = 0; // of a panel of averages, with the room the kernel wants
  Arena m_arena;
  Real* m_query = nullptr;   // panels [key_width, lanes]
  OnlineSoftmax<Real> m_own; // room for the state of run()
  OnlineSoftmax<Real> m_state;
  Real* m_key = nullptr; // one tile
  Real* m_value = nullptr;
  Real* m_scratch = nullptr;
  Real* m_one_panel = nullptr;         // queries or averages of one head
  double* m_out = nullptr;             // rows of one head
  std::vector<std::int64_t> m_seen;    // keys that each row sees; 0 for lanes without a row
  std::vector<std::int64_t> m_visible; // of them, those in the tile
  std::vector<double> m_lse;
  std::vector<double> m_merged; // [rows, value_width], where there are several chunks of keys
  std::vector<double> m_merged_lse;
};

extern template class Worker<double>;
extern template class Worker<float>;

} // namespace mla_scale::reference
