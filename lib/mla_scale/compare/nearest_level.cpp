#include <mla_scale/compare/nearest_level.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <cmath>

namespace mla_scale::compare {
namespace {

constexpr double k_tightest_bulk = 0.4; // a level that is looser by more than this cannot be it
constexpr double k_loosest_bulk = 1.5;
constexpr double k_level_slack = 0.15;   // of |ln(bulk)|, when out alone tells the level
constexpr double k_float8_slack = 0.7;   // their sums are too coarse to tell levels by the bulk
constexpr double k_consistent_lse = 0.4; // a level that rounds logits shows in lse at least so much
constexpr double k_consistent_lse_few = 0.02; // of few rows, which may be small by luck
constexpr std::size_t k_few_samples = 64;

/// A level that rounds logits is out when a captured lse shows logits that were not rounded.
bool contradicted_by_lse(const LevelResult& result, const Evidence& evidence) {
  const double least =
      evidence.samples.size() < k_few_samples ? k_consistent_lse_few : k_consistent_lse;
  return changes_lse(result.level) && evidence.errors.lse.present && result.lse_bulk < least;
}

} // namespace

double distance_from(const LevelResult& result, const Evidence& evidence) {
  if (!evidence.errors.out.present) {
    return result.lse_bulk <= k_loosest_bulk ? 0.0 : k_infinity;
  }
  if (contradicted_by_lse(result, evidence)) {
    return k_infinity;
  }
  if (result.out_bulk > k_loosest_bulk) {
    return k_infinity;
  }
  if (result.out_bulk >= k_tightest_bulk) {
    return std::abs(std::log(result.out_bulk));
  }
  // Smaller errors than the level's: no fault at the tightest level, and where peaked rows hide
  // what rounded logits do to out, lse may still show it.
  const bool shown_by_lse =
      evidence.errors.lse.present && changes_lse(result.level) && result.lse_bulk <= k_loosest_bulk;
  return result.level == Level::exact ? 0.0
         : shown_by_lse               ? -std::log(k_tightest_bulk)
                                      : k_infinity;
}

LevelResult nearest_level(std::vector<LevelResult> results, const Evidence& evidence) {
  std::stable_sort(results.begin(), results.end(), [&](const LevelResult& a, const LevelResult& b) {
    return distance_from(a, evidence) < distance_from(b, evidence);
  });
  // A looser level must not swallow what the level that fits best calls wrong.
  const double slack = tensor::is_float8(evidence.dtypes.input) ? k_float8_slack : k_level_slack;
  const double nearest = distance_from(results.front(), evidence);
  for (const LevelResult& result : results) {
    const bool by_lse = evidence.errors.lse.present && changes_lse(result.level);
    const double distance = distance_from(result, evidence);
    if (std::isfinite(distance) && (distance <= nearest + slack || by_lse) && result.passed()) {
      return result;
    }
  }
  if (std::isfinite(nearest)) {
    return results.front();
  }
  const auto loosest =
      std::find_if(results.rbegin(), results.rend(), [&](const LevelResult& result) {
        return !contradicted_by_lse(result, evidence);
      });
  return loosest != results.rend() ? *loosest : results.front();
}

} // namespace mla_scale::compare
