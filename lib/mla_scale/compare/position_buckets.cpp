#include <mla_scale/compare/position_buckets.hpp>

#include <algorithm>
#include <limits>

namespace mla_scale::compare {
namespace {

constexpr std::int64_t k_most_buckets = 16;

} // namespace

PositionBuckets::PositionBuckets(const reference::Problem& problem) : m_problem(problem) {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t row : problem.chosen_rows()) {
    if (const std::int64_t position = position_of(row); position >= 0) {
      first = std::min(first, position);
      m_last = std::max(m_last, position);
    }
  }
  if (m_last < 0) {
    return;
  }
  std::int64_t buckets = k_most_buckets;
  if (first == 0) {
    m_first.push_back(0);
    first = 1;
    --buckets;
  }
  const std::int64_t width = (m_last - first + buckets) / buckets; // at least 1 if any are left
  for (std::int64_t begin = first; begin <= m_last; begin += width) {
    m_first.push_back(begin);
  }
}

std::int64_t PositionBuckets::position_of(std::int64_t row) const {
  const auto sequence = m_problem.sequence_of(row);
  const std::int64_t seen = sequence ? m_problem.visible_keys(*sequence, row) : 0;
  if (seen == 0) {
    return -1;
  }
  return m_problem.causal ? seen - 1 : row - sequence->query_begin;
}

std::size_t PositionBuckets::bucket_of(std::int64_t row) const {
  const auto after = std::upper_bound(m_first.begin(), m_first.end(), position_of(row));
  return static_cast<std::size_t>(after - m_first.begin()) - 1;
}

std::int64_t PositionBuckets::last(std::size_t bucket) const {
  return bucket + 1 < m_first.size() ? m_first[bucket + 1] - 1 : m_last;
}

} // namespace mla_scale::compare
