#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace mla_scale::compare {

/// One query row of one head with everything that it sees: the unit that fits and floors work on.
struct RowSample {
  std::int64_t head = 0;
  std::int64_t row = 0;
  std::int64_t first_key = 0; ///< of the sequence, in the capture's numbering
  std::vector<double>
      nope; ///< <q_nope, k_nope_j> of the keys it sees, unscaled, query factor included
  std::vector<double> rope; ///< <q_pe, k_pe_j>; the logit is scale · (nope + rope)
};

/// Rows for fits and floors: at most `limit` (head, row) pairs, all when there are fewer; spread
/// evenly over heads and rows by a fixed rule, with first and last rows of sequences always in.
/// Rows that see no key are left out. Sorted by head, then row.
[[nodiscard]] std::vector<std::pair<std::int64_t, std::int64_t>>
sample_rows(const reference::Problem& problem, std::int64_t limit);

/// Logits of chosen rows. `rows` sorted by head. Reads keys tile by tile.
/// Error: schema when the problem's form is absorbed (take latent).
[[nodiscard]] Result<std::vector<RowSample>>
sample_logits(const reference::Problem& problem,
              const std::vector<std::pair<std::int64_t, std::int64_t>>& rows);

/// Averages values with chosen weights. Keeps one head's values converted while samples of that
/// head follow each other, unless they are too many for that.
class ValueAverager {
public:
  explicit ValueAverager(const reference::Problem& problem) : m_problem(problem) {}

  /// Σ_j weights[r·n + j] v_j for r = 0 .. count - 1, n the number of keys that the sample sees:
  /// [count, v_head_dim].
  [[nodiscard]] std::vector<double> average(const RowSample& sample, std::int64_t count,
                                            std::span<const double> weights);

private:
  const reference::Problem& m_problem;
  std::int64_t m_head = -1;
  std::int64_t m_first = 0;
  std::int64_t m_count = 0;
  std::vector<double> m_values; // [m_count, v_head_dim] from key row m_first
};

} // namespace mla_scale::compare
