#pragma once

#include <mla_scale/diagnose/mechanism.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace mla_scale::diagnose {

/// Running sums over the keys of one row, from which the softmax over any ranges of keys costs one
/// pass over the values' width.
class PrefixScan {
public:
  /// Logits of `mechanism` without its mask, over all keys of the sequence.
  PrefixScan(const Predictor& predictor, const Mechanism& mechanism, std::size_t index);

  [[nodiscard]] const Row& row() const { return *m_row; }
  [[nodiscard]] std::size_t keys() const { return m_row->keys; }

  /// Adds times · Σ_{first <= j < last} e^x (1, v) to a sum that starts with clear().
  void clear();
  void add(std::size_t first, std::size_t last, double times = 1.0);
  /// Adds keys of logit 0 without value.
  void add_zero_keys(std::size_t count);
  /// Mass of a range, e^(x - maximum).
  [[nodiscard]] double mass(std::size_t first, std::size_t last) const {
    return m_mass[last] - m_mass[first];
  }
  /// |captured - sum / mass|² in units of output rounding, as ln(1 + x): rows that a hypothesis
  /// cannot explain must not drown the others. The largest value when the sum is empty.
  [[nodiscard]] double misfit() const;

private:
  const Row* m_row;
  std::span<const double> m_captured;
  std::size_t m_width;
  double m_maximum;           ///< largest logit
  double m_unit;              ///< 1 / (noise² |captured|²)
  std::vector<double> m_sums; ///< [keys + 1, width]
  std::vector<double> m_mass; ///< [keys + 1]
  std::vector<double> m_sum;
  double m_sum_mass = 0.0;
};

/// Scans of those probe rows that have a captured output; at most `limit`, and of long rows no more
/// than rows_with_values(), spread evenly.
[[nodiscard]] std::vector<PrefixScan> prefix_scans(const Predictor& predictor,
                                                   const Mechanism& mechanism,
                                                   std::span<const std::size_t> rows,
                                                   std::size_t limit);

} // namespace mla_scale::diagnose
