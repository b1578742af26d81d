#include <mla_scale/compare/rounding_bias.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mla_scale::compare {
namespace {

constexpr double k_quartiles = 1.349;   // distance of a normal distribution's quartiles over σ
constexpr std::size_t k_few_logits = 8; // whose quartiles say nothing
constexpr int k_harmonics = 64;

double quantile(std::vector<double>& values, std::size_t at) {
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(at);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

/// Σ w, Σ w x and Σ w x² of logits x with weights w.
struct Moments {
  double weight = 0.0;
  double first = 0.0;
  double second = 0.0;

  void add(double w, double x) {
    weight += w;
    first += w * x;
    second += w * x * x;
  }
  /// Σ w (x - centre)² / Σ w
  [[nodiscard]] double square_about(double centre) const {
    return std::max(0.0, (second - 2.0 * centre * first) / weight + centre * centre);
  }
  [[nodiscard]] double mean() const { return first / weight; }
};

/// Σ_k exp(-2π²k²x²), and with each term over k.
struct Harmonics {
  double plain = 0.0;
  double by_order = 0.0;
};

Harmonics harmonics(double spread_in_steps) {
  Harmonics sums;
  const double exponent =
      2.0 * std::numbers::pi * std::numbers::pi * spread_in_steps * spread_in_steps;
  for (int order = 1; order <= k_harmonics; ++order) {
    const double term = std::exp(-exponent * order * order);
    if (!(term > 0.0)) {
      break;
    }
    sums.plain += term;
    sums.by_order += term / order;
  }
  return sums;
}

RowSpread spread_of(std::vector<double>& logits) {
  RowSpread spread;
  if (logits.empty()) {
    return spread;
  }
  // About the largest, so that small spreads about a large logit keep their digits.
  const double largest = *std::max_element(logits.begin(), logits.end());
  Moments even;
  Moments by_probability;
  Moments by_square;
  for (double& logit : logits) {
    logit -= largest;
    const double weight = std::exp(logit);
    even.add(1.0, logit);
    by_probability.add(weight, logit);
    by_square.add(weight * weight, logit);
  }
  spread.weighted = std::sqrt(by_probability.square_about(by_probability.mean()));
  spread.information = by_square.square_about(by_probability.mean());
  spread.telling = logits.size() >= k_few_logits;
  if (!spread.telling) {
    spread.logits = std::sqrt(even.square_about(even.mean()));
    return spread;
  }
  const double low = quantile(logits, logits.size() / 4);
  spread.logits = (quantile(logits, logits.size() - 1 - logits.size() / 4) - low) / k_quartiles;
  return spread;
}

} // namespace

std::vector<RowSpread> row_spreads(const std::vector<RowSample>& samples, double softmax_scale) {
  std::vector<RowSpread> spreads;
  std::vector<double> logits;
  for (const RowSample& sample : samples) {
    logits.clear();
    for (std::size_t j = 0; j < sample.nope.size(); ++j) {
      logits.push_back(softmax_scale * (sample.nope[j] + sample.rope[j]));
    }
    spreads.push_back(spread_of(logits));
  }
  return spreads;
}

RoundingBias rounding_bias(const std::vector<RowSpread>& rows, double step) {
  RoundingBias bias;
  double information = 0.0;
  double count = 0.0;
  // The spread of a few logits is a matter of luck: where others say it, these say nothing.
  const bool any_telling =
      std::any_of(rows.begin(), rows.end(), [](const RowSpread& row) { return row.telling; });
  for (const RowSpread& row : rows) {
    if (!(row.weighted > 0.0) || row.telling != any_telling) {
      continue; // or one key: its probability is 1
    }
    const Harmonics sums = harmonics(row.logits / step);
    const double of_scale = std::min(2.0 * sums.plain, 0.5 * step / row.weighted);
    bias.scale += row.information * of_scale;
    bias.gain += std::min(step / std::numbers::pi * sums.by_order, 0.5 * step);
    information += row.information;
    count += 1.0;
  }
  if (information > 0.0) {
    bias.scale /= information;
  }
  bias.gain /= std::max(count, 1.0);
  return bias;
}

} // namespace mla_scale::compare
