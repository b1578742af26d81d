#include <mla_scale/core/number.hpp>
#include <mla_scale/diagnose/mechanism.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace mla_scale::diagnose {

namespace {

const std::vector<double>& values_of(const Sample& sample, const Mechanism& mechanism,
                                     const Row& row) {
  const auto& set = mechanism.values ? *mechanism.values : *sample.values;
  return set.values[row.slot];
}

} // namespace

void hide_future(const Row& row, std::span<double> logits) {
  for (std::size_t key = row.visible; key < logits.size(); ++key) {
    logits[key] = k_hidden;
  }
}

double log_sum_exp(std::span<const double> logits) {
  double maximum = -k_infinity;
  for (const double logit : logits) {
    maximum = std::max(maximum, logit);
  }
  if (!std::isfinite(maximum)) {
    return maximum;
  }
  double sum = 0.0;
  for (const double logit : logits) {
    sum += std::exp(logit - maximum);
  }
  return maximum + std::log(sum);
}

void Predictor::logits(const Mechanism& mechanism, const Row& row,
                       std::vector<double>& result) const {
  const auto& set = mechanism.logits ? *mechanism.logits : *m_sample.logits;
  const double factor =
      mechanism.scale * row.factor * (mechanism.temperature ? mechanism.temperature(row) : 1.0);
  const double nope = factor * mechanism.nope;
  const double rope = factor * mechanism.rope;
  result.resize(mechanism.bend ? row.keys : std::min(row.visible, row.keys));
  const double* u = set.nope.data() + row.offset;
  const double* w = set.rope.data() + row.offset;
  for (std::size_t key = 0; key < result.size(); ++key) {
    result[key] = nope * u[key] + rope * w[key];
  }
  if (mechanism.bend) {
    mechanism.bend(row, result);
  }
}

void Predictor::average(const Mechanism& mechanism, const Row& row, std::size_t keys,
                        std::size_t count, const std::vector<double>& weights,
                        std::vector<double>& result) const {
  // Row-major [keys, width] and [count, keys] are column-major [width, keys] and [keys, count]: so
  // read, the product runs along memory.
  const auto width = static_cast<Eigen::Index>(m_sample.width);
  const auto key_count = static_cast<Eigen::Index>(keys);
  result.assign(count * m_sample.width, 0.0);
  const Eigen::Map<const Eigen::MatrixXd> values(values_of(m_sample, mechanism, row).data(), width,
                                                 key_count);
  Eigen::Map<Eigen::MatrixXd> sums(result.data(), width, static_cast<Eigen::Index>(count));
  // Block by block: values of many keys are read from memory once for all sets of weights.
  constexpr Eigen::Index k_block = 256;
  for (Eigen::Index first = 0; first < key_count; first += k_block) {
    const Eigen::Index block = std::min(k_block, key_count - first);
    for (std::size_t at = 0; at < count; ++at) {
      const Eigen::Map<const Eigen::VectorXd> factors(
          weights.data() + at * keys + static_cast<std::size_t>(first), block);
      sums.col(static_cast<Eigen::Index>(at)).noalias() +=
          values.middleCols(first, block) * factors;
    }
  }
}

Prediction Predictor::predict(const Mechanism& mechanism, const Row& row) const {
  Prediction prediction;
  std::vector<double> weights;
  logits(mechanism, row, weights);
  std::size_t keys = weights.size();
  while (keys > 0 && weights[keys - 1] == k_hidden) {
    --keys;
  }
  weights.resize(keys);
  const double mass = mechanism.extra_mass ? mechanism.extra_mass(row) : -k_infinity;
  double maximum = -k_infinity;
  for (const double logit : weights) {
    maximum = std::max(maximum, logit);
  }
  if (!std::isfinite(maximum)) {
    return prediction;
  }
  prediction.defined = true;
  prediction.maximum = maximum;
  const double top = std::max(maximum, mass);
  // What a kernel rounds are the logits before masks and the weights of merged parts.
  const auto& set = mechanism.logits ? *mechanism.logits : *m_sample.logits;
  const double unit =
      mechanism.scale * row.factor * (mechanism.temperature ? mechanism.temperature(row) : 1.0);
  std::vector<double> squares(keys);
  double sum = 0.0;
  double mean_square = 0.0;
  for (std::size_t key = 0; key < keys; ++key) {
    const double logit = weights[key];
    const double weight = std::exp(logit - top);
    sum += weight;
    weights[key] = weight;
    const double rounded = unit
                           * (mechanism.nope * set.nope[row.offset + key]
                              + mechanism.rope * set.rope[row.offset + key]);
    squares[key] = rounded * rounded;
    mean_square += weight * squares[key];
  }
  mean_square /= sum;
  const double extra = std::isfinite(mass) ? std::exp(mass - top) : 0.0;
  prediction.lse = top + std::log(sum + (mechanism.lse_counts_extra_mass ? extra : 0.0));
  const double inverse = 1.0 / (sum + extra);
  const auto& value_set = mechanism.values ? *mechanism.values : *m_sample.values;
  const auto& value_squares = value_set.squared[row.slot];
  double probability = 0.0; // Σ p² |v|²
  double bent = 0.0;        // Σ p² x² (|v|² + |o|²)
  double second = 0.0;      // Σ p² x²
  double concentration = 0.0;
  double stored = 0.0;     // Σ p² (change of logit)² |v|², by rounding k
  double stored_lse = 0.0; // Σ p² (change of logit)²
  double largest = 0.0;    // p
  for (std::size_t key = 0; key < keys; ++key) {
    const double p = weights[key] * inverse;
    const double p2 = p * p;
    weights[key] = p;
    concentration += p2;
    probability += p2 * value_squares[key];
    // Rounding the products before the sum costs about as much as the spread of the row's logits.
    const double spread = squares[key] + 0.25 * mean_square;
    bent += p2 * spread * value_squares[key];
    second += p2 * spread;
    if (!set.stored.empty()) {
      const double change = unit * mechanism.nope * m_noise.stored;
      const double of_logit = change * change * set.stored[row.offset + key];
      if (p > largest) {
        largest = p;
        prediction.maximum_fine = of_logit;
      }
      stored += p2 * of_logit * value_squares[key];
      stored_lse += p2 * of_logit;
    }
  }
  average(mechanism, row, keys, 1, weights, prediction.out);
  double out_squared = 0.0;
  for (double& value : prediction.out) {
    value *= mechanism.gain;
    out_squared += value * value;
  }
  const double gain2 = mechanism.gain * mechanism.gain;
  const double n_out = m_noise.out * m_noise.out;
  const double n_p = m_noise.probability * m_noise.probability;
  // A row with one key has p = 1, exact in every dtype.
  const double inexact = std::max(0.0, 1.0 - concentration * concentration);
  prediction.fine =
      n_out * out_squared + n_p * gain2 * probability * inexact + 1e-14 * out_squared + 1e-30;
  const double n_l = m_noise.coarse_logit * m_noise.coarse_logit;
  const double n_cp = m_noise.coarse_probability * m_noise.coarse_probability;
  prediction.coarse =
      (n_l * (gain2 * bent + second * out_squared) + n_cp * gain2 * probability) * inexact;
  const double n_l32 = m_noise.logit * m_noise.logit;
  prediction.fine += n_l32 * (gain2 * bent + second * out_squared) * inexact;
  const double n_s = m_noise.stored;
  prediction.fine +=
      gain2 * n_s * n_s * probability + (gain2 * stored + stored_lse * out_squared) * inexact;
  const double lse_unit = m_noise.lse * (1.0 + std::abs(prediction.lse));
  prediction.lse_fine = lse_unit * lse_unit + n_l32 * second + stored_lse;
  // Rounded products and sums bias lse as a whole.
  prediction.lse_coarse = n_l * (second + 0.5 * maximum * maximum);
  return prediction;
}

} // namespace mla_scale::diagnose
