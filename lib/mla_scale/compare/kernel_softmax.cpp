#include <mla_scale/compare/kernel_softmax.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <cmath>

namespace mla_scale::compare {
namespace {

/// Standard deviation of the scaled logits, weighted by their probabilities up to a factor.
double spread_of_logits(const RowSample& sample, double softmax_scale,
                        std::span<const double> probabilities) {
  double total = 0.0;
  double sum = 0.0;
  double squares = 0.0;
  for (std::size_t j = 0; j < sample.nope.size(); ++j) {
    const double logit = softmax_scale * (sample.nope[j] + sample.rope[j]);
    total += probabilities[j];
    sum += probabilities[j] * logit;
    squares += probabilities[j] * logit * logit;
  }
  const double mean = sum / total;
  return std::sqrt(std::max(0.0, squares / total - mean * mean));
}

} // namespace

KernelSoftmax::KernelSoftmax(const RowSample& sample, double softmax_scale, const Recipe& recipe)
    : m_sample(&sample), m_recipe(&recipe), m_softmax_scale(softmax_scale), m_maximum(-k_infinity) {
  for (std::size_t key = 0; key < sample.nope.size(); ++key) {
    m_maximum = std::max(m_maximum, logit(key));
  }
  for (std::size_t key = 0; key < sample.nope.size(); ++key) {
    const double probability = std::exp(logit(key) - m_maximum);
    m_sum += recipe.sums_rounded ? rounded(probability) : probability;
  }
}

double KernelSoftmax::lse() const {
  return m_maximum + std::log(m_sum);
}

void KernelSoftmax::weigh(std::size_t first, std::span<double> weights) const {
  for (std::size_t key = 0; key < weights.size(); ++key) {
    const double probability = std::exp(logit(first + key) - m_maximum);
    weights[key] = round_to(m_recipe->normalised, rounded(probability) / m_sum);
  }
}

double KernelSoftmax::logit(std::size_t key) const {
  const double product = round_to(m_recipe->product, m_sample->nope[key] + m_sample->rope[key]);
  return round_to(m_recipe->logit, m_softmax_scale * product);
}

double KernelSoftmax::rounded(double probability) const {
  return round_to(m_recipe->probability, probability * m_recipe->probability_gain)
         / m_recipe->probability_gain;
}

double lse_noise(const RowSample& sample, double softmax_scale,
                 std::span<const double> probabilities, const Recipe& recipe) {
  const double of_logit =
      std::hypot(rounding_spread(recipe.product), rounding_spread(recipe.logit));
  // Probabilities within one step of each other all round alike: what that does is simulated.
  const double of_sum =
      recipe.sums_rounded
          ? rounding_spread(recipe.probability)
                * std::min(1.0, spread_of_logits(sample, softmax_scale, probabilities)
                                    / (2.0 * unit_roundoff(recipe.probability)))
          : 0.0;
  if (of_logit == 0.0 && of_sum == 0.0 && sample.noise.empty()) {
    return 0.0;
  }
  // exp(0) of the largest logit is 1 and stays so.
  const double largest = *std::max_element(probabilities.begin(), probabilities.end());
  double sum = 0.0;
  for (std::size_t j = 0; j < sample.nope.size(); ++j) {
    const double logit = softmax_scale * (sample.nope[j] + sample.rope[j]) * of_logit;
    const double inputs = sample.noise.empty() ? 0.0 : softmax_scale * sample.noise[j];
    const double spread = std::hypot(logit, inputs, probabilities[j] < largest ? of_sum : 0.0);
    sum += probabilities[j] * probabilities[j] * spread * spread;
  }
  return std::sqrt(sum);
}

} // namespace mla_scale::compare
