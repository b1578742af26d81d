#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/scan_search.hpp>

#include <algorithm>
#include <atomic>

namespace mla_scale::diagnose {

namespace {

/// The least misfit so far of each lane, whichever thread found it.
class Bounds {
public:
  explicit Bounds(std::size_t lanes) : m_least(lanes) {
    for (auto& least : m_least) {
      least = k_infinity;
    }
  }

  /// True when sums that only grow can be the least of no lane. Not when equal: then the lower
  /// candidate wins, and another thread may hold it.
  [[nodiscard]] bool exceeded_by(std::span<const double> sums) const {
    for (std::size_t lane = 0; lane < sums.size(); ++lane) {
      if (!(sums[lane] > m_least[lane])) {
        return false;
      }
    }
    return true;
  }

  void lower(std::span<const double> sums) {
    for (std::size_t lane = 0; lane < sums.size(); ++lane) {
      double least = m_least[lane];
      while (sums[lane] < least && !m_least[lane].compare_exchange_weak(least, sums[lane])) {
      }
    }
  }

private:
  std::vector<std::atomic<double>> m_least;
};

} // namespace

Misfits::Misfits(std::size_t candidates, std::size_t lanes)
    : m_lanes(lanes), m_sums(candidates * lanes, 0.0) {}

std::optional<std::size_t> Misfits::least(std::size_t lane) const {
  std::optional<std::size_t> found;
  double least = k_infinity;
  for (std::size_t candidate = 0; candidate < candidates(); ++candidate) {
    if (const double sum = m_sums[candidate * m_lanes + lane]; sum < least) {
      least = sum;
      found = candidate;
    }
  }
  return found;
}

Misfits search(const std::vector<PrefixScan>& scans, std::size_t candidates, std::size_t lanes,
               const SumCandidate& sum, unsigned threads, Needed needed) {
  constexpr std::size_t k_block = 16; // candidates that a thread takes at a time
  Misfits misfits(candidates, lanes);
  Bounds bounds(lanes);
  const auto judge = [&](std::size_t candidate, RangeSum& ranges) {
    const std::span<double> sums = misfits.of(candidate);
    for (const PrefixScan& scan : scans) {
      ranges.begin(scan);
      sum(scan, candidate, ranges);
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        sums[lane] += ranges.misfit(lane);
      }
      if (needed == Needed::least && bounds.exceeded_by(sums)) {
        std::fill(sums.begin(), sums.end(), k_infinity);
        return;
      }
    }
    bounds.lower(sums);
  };
  parallel_for((candidates + k_block - 1) / k_block, threads, [&](std::size_t block) {
    RangeSum ranges(lanes);
    const std::size_t first = block * k_block;
    for (std::size_t at = first; at < std::min(first + k_block, candidates); ++at) {
      judge(at, ranges);
    }
  });
  return misfits;
}

} // namespace mla_scale::diagnose
