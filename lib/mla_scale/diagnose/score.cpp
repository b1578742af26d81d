#include <mla_scale/diagnose/score.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace mla_scale::diagnose {

namespace {

constexpr std::array k_coarseness = {0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8};
/// The variances are estimates: flash kernels round a little less, some others a little more.
constexpr std::array k_floor_factors = {0.64, 1.0, 1.6};

double square(double x) {
  return x * x;
}

} // namespace

std::vector<RowOutcome> outcomes(const Sample& sample, const RowPredictor& predict,
                                 std::span<const std::size_t> rows) {
  std::vector<RowOutcome> result;
  result.reserve(rows.size());
  for (const auto index : rows) {
    const Row& row = sample.rows[index];
    if (!row.has_out && !row.has_lse) {
      continue;
    }
    const auto prediction = predict(row);
    if (!prediction.defined) {
      continue;
    }
    RowOutcome outcome;
    outcome.index = index;
    outcome.has_out = row.has_out && !prediction.out.empty();
    outcome.has_lse = row.has_lse;
    if (outcome.has_out) {
      const auto got = sample.out_of(index);
      for (std::size_t column = 0; column < got.size(); ++column) {
        outcome.out_squared += square(got[column] - prediction.out[column]);
      }
    }
    outcome.fine = prediction.fine;
    outcome.coarse = prediction.coarse;
    outcome.lse = prediction.lse;
    outcome.maximum = prediction.maximum;
    outcome.lse_fine = prediction.lse_fine;
    outcome.lse_coarse = prediction.lse_coarse;
    outcome.maximum_fine = prediction.maximum_fine;
    result.push_back(outcome);
  }
  return result;
}

double lse_ratio(const Sample& sample, std::span<const RowOutcome> outcomes,
                 std::span<const double> expected, double coarseness) {
  double sum = 0.0;
  double count = 0.0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto& outcome = outcomes[i];
    if (outcome.has_lse && std::isfinite(expected[i])) {
      sum += square(sample.rows[outcome.index].lse - expected[i])
             / (outcome.lse_fine + square(coarseness) * outcome.lse_coarse);
      count += 1.0;
    }
  }
  return count > 0.0 ? std::sqrt(sum / count) : 0.0;
}

namespace {

/// The ratios of a score, at its coarseness.
void measure(const Sample& sample, std::span<const RowOutcome> outcomes,
             std::span<const double> lse, Score& best) {
  const double c2 = square(best.coarseness);
  double weight = 0.0;
  double sum = 0.0;
  double fine_sum = 0.0;
  best.worst_head = 0.0;
  std::map<std::int64_t, std::pair<double, double>> heads;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto& outcome = outcomes[i];
    const Row& row = sample.rows[outcome.index];
    if (outcome.has_out) {
      const double ratio = outcome.out_squared / (outcome.fine + c2 * outcome.coarse);
      sum += row.freedom * ratio;
      fine_sum += row.freedom * outcome.out_squared / outcome.fine;
      weight += row.freedom;
      auto& head = heads[row.head];
      head.first += row.freedom * ratio;
      head.second += row.freedom;
    }
  }
  best.rows = outcomes.size();
  if (weight > 0.0) {
    best.out_ratio = std::sqrt(sum / weight);
    best.fine_ratio = std::sqrt(fine_sum / weight);
    for (const auto& [head, sums] : heads) {
      best.worst_head = std::max(best.worst_head, std::sqrt(sums.first / sums.second));
    }
  }
  if (!lse.empty()) {
    best.lse_ratio = lse_ratio(sample, outcomes, lse, best.coarseness);
  }
}

} // namespace

Score score(const Sample& sample, std::span<const RowOutcome> outcomes,
            std::span<const double> lse) {
  Score best;
  if (outcomes.empty()) {
    return best;
  }
  for (const double coarseness : k_coarseness) {
    const double c2 = square(coarseness);
    for (const double floor_factor : k_floor_factors) {
      double likelihood = 0.0;
      for (std::size_t i = 0; i < outcomes.size(); ++i) {
        const auto& outcome = outcomes[i];
        const Row& row = sample.rows[outcome.index];
        if (outcome.has_out) {
          const double variance = floor_factor * outcome.fine + c2 * outcome.coarse;
          likelihood -= 0.5 * row.freedom * (outcome.out_squared / variance + std::log(variance));
        }
        if (outcome.has_lse && !lse.empty() && std::isfinite(lse[i])) {
          const double variance = floor_factor * outcome.lse_fine + c2 * outcome.lse_coarse;
          likelihood -= 0.5 * (square(row.lse - lse[i]) / variance + std::log(variance));
        }
      }
      if (likelihood > best.likelihood) {
        best.likelihood = likelihood;
        best.coarseness = coarseness;
      }
    }
  }
  measure(sample, outcomes, lse, best);
  // Rounded logits that explain nothing are none: so with small logits, whose rounding is nothing.
  constexpr double k_fine = 1.15;
  constexpr double k_fine_lse = 2.0;
  if (best.coarseness > 0.0 && best.fine_ratio > 0.0 && best.fine_ratio <= k_fine
      && (lse.empty() || lse_ratio(sample, outcomes, lse, 0.0) <= k_fine_lse)) {
    best.coarseness = 0.0;
    measure(sample, outcomes, lse, best);
  }
  return best;
}

} // namespace mla_scale::diagnose
