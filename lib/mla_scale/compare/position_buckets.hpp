#pragma once

#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <vector>

namespace mla_scale::compare {

/// Positions cut into at most 16 ranges: position 0, which no scale can change, apart from the
/// others; the others evenly.
class PositionBuckets {
public:
  explicit PositionBuckets(const reference::Problem& problem);

  /// Keys that the row sees less one (non-causal: the row's place in its sequence); -1 for a row
  /// that sees none.
  [[nodiscard]] std::int64_t position_of(std::int64_t row) const;
  [[nodiscard]] std::size_t count() const { return m_first.size(); }
  /// \pre position_of(row) >= 0
  [[nodiscard]] std::size_t bucket_of(std::int64_t row) const;
  [[nodiscard]] std::int64_t first(std::size_t bucket) const { return m_first[bucket]; }
  [[nodiscard]] std::int64_t last(std::size_t bucket) const;

private:
  const reference::Problem& m_problem;
  std::vector<std::int64_t> m_first; // first position of each bucket, ascending
  std::int64_t m_last = -1;
};

} // namespace mla_scale::compare
