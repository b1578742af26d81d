#pragma once

#include <mla_scale/diagnose/prefix_scan.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace mla_scale::diagnose {

/// Sums the keys that a candidate, a number, sees in the row of a scan; begin() was called.
using SumCandidate =
    std::function<void(const PrefixScan& scan, std::size_t candidate, RangeSum& sum)>;

/// Misfits of candidates, summed over the scans: [candidate][lane].
class Misfits {
public:
  Misfits(std::size_t candidates, std::size_t lanes);

  [[nodiscard]] std::size_t candidates() const { return m_sums.size() / m_lanes; }
  [[nodiscard]] std::size_t lanes() const { return m_lanes; }
  [[nodiscard]] std::span<double> of(std::size_t candidate) {
    return std::span(m_sums).subspan(candidate * m_lanes, m_lanes);
  }
  /// The candidate of the least misfit in a lane, the first of equal ones; nothing without any.
  [[nodiscard]] std::optional<std::size_t> least(std::size_t lane = 0) const;

private:
  std::size_t m_lanes;
  std::vector<double> m_sums;
};

/// Which misfits a search needs.
enum class Needed {
  least, ///< infinity stands for those that are the least of no lane
  all,
};

/// Candidates 0 .. candidates - 1, on so many threads; what is least does not depend on them.
[[nodiscard]] Misfits search(const std::vector<PrefixScan>& scans, std::size_t candidates,
                             std::size_t lanes, const SumCandidate& sum, unsigned threads,
                             Needed needed = Needed::least);

} // namespace mla_scale::diagnose
