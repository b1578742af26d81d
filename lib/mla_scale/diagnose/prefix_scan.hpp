#pragma once

#include <mla_scale/diagnose/mechanism.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace mla_scale::diagnose {

/// Running sums over the keys of one row, from which the softmax over any ranges of keys costs one
/// pass over the values' width: a RangeSum each. It never changes, so threads may share it.
class PrefixScan {
public:
  /// Logits of `mechanism` without its mask, over all keys of the sequence.
  PrefixScan(const Predictor& predictor, const Mechanism& mechanism, std::size_t index);

  [[nodiscard]] const Row& row() const { return *m_row; }
  [[nodiscard]] std::size_t keys() const { return m_row->keys; }
  [[nodiscard]] std::size_t width() const { return m_width; }

  /// Mass of a range, e^(x - maximum).
  [[nodiscard]] double mass(std::size_t first, std::size_t last) const {
    return m_mass[last] - m_mass[first];
  }
  /// That of a key of logit 0.
  [[nodiscard]] double mass_of_zero() const;
  /// Σ_{j < key} e^(x - maximum) v_j, [width].
  [[nodiscard]] const double* sums(std::size_t key) const { return m_sums.data() + key * m_width; }

  /// |captured - sum / mass|² in units of output rounding, as ln(1 + x): rows that a hypothesis
  /// cannot explain must not drown the others. The largest value when the mass is nothing.
  [[nodiscard]] double misfit(const double* sum, double mass) const;

private:
  const Row* m_row;
  std::span<const double> m_captured;
  std::size_t m_width;
  double m_maximum;           ///< largest logit
  double m_unit;              ///< 1 / (noise² |captured|²)
  std::vector<double> m_sums; ///< [keys + 1, width]
  std::vector<double> m_mass; ///< [keys + 1]
};

/// Softmax over ranges of the keys of a row, that of several candidates ("lanes") side by side: the
/// running sums come from memory once for all of them.
class RangeSum {
public:
  explicit RangeSum(std::size_t lanes) : m_mass(lanes) {}

  /// Starts with nothing, for the row of `scan`, which must outlive what follows.
  void begin(const PrefixScan& scan);
  /// Adds times · Σ_{first <= j < last} e^x (1, v); `times` has one number for each lane.
  void add(std::size_t first, std::size_t last, std::span<const double> times);
  /// The same with times 1 in every lane.
  void add(std::size_t first, std::size_t last);
  /// Adds keys of logit 0 without value to one lane.
  void add_zero_keys(std::size_t lane, std::size_t count);

  [[nodiscard]] std::size_t lanes() const { return m_mass.size(); }
  /// PrefixScan::misfit() of what was added.
  [[nodiscard]] double misfit(std::size_t lane) const;

private:
  void add_to(std::size_t lane, std::size_t first, std::size_t last, double times);

  const PrefixScan* m_scan = nullptr;
  std::vector<double> m_sums; ///< [lanes, width]
  std::vector<double> m_mass; ///< [lanes]
};

/// Scans of those probe rows that have a captured output; at most `limit`, and of long rows no more
/// than rows_with_values(), spread evenly. Made on so many threads.
[[nodiscard]] std::vector<PrefixScan> prefix_scans(const Predictor& predictor,
                                                   const Mechanism& mechanism,
                                                   std::span<const std::size_t> rows,
                                                   std::size_t limit, unsigned threads);

} // namespace mla_scale::diagnose
