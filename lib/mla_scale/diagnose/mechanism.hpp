#pragma once

#include <mla_scale/core/number.hpp>
#include <mla_scale/diagnose/noise.hpp>
#include <mla_scale/diagnose/sample.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace mla_scale::diagnose {

/// The logit of a key that is not seen.
inline constexpr double k_hidden = -k_infinity;

/// What a hypothesis says about one row.
struct Prediction {
  std::vector<double> out; ///< [width]
  double lse = 0.0;
  double maximum = 0.0; ///< largest logit that entered
  bool defined = false; ///< false: the row sees no key, nothing is predicted
  /// Variances of a healthy kernel's error |out error|², lse error²: fine ones, and what logits
  /// rounded to the dtype add.
  double fine = 0.0;
  double coarse = 0.0;
  double lse_fine = 0.0;
  double lse_coarse = 0.0;
  double maximum_fine = 0.0; ///< variance of the largest logit, which lse averages with others
};

/// Attention with one or more of its parts moved. The general form:
///   logit_ij = scale · t_i · (nope · u_ij + rope · w_ij), then `bend`;
///   out = gain · Σ_j p_j v_j, with exp(`extra_mass`) added to the denominator.
struct Mechanism {
  double scale = 0.0;
  double nope = 1.0;
  double rope = 1.0;
  double gain = 1.0;
  std::shared_ptr<const LogitSet> logits;        ///< null: the sample's
  std::shared_ptr<const ValueSet> values;        ///< null: the sample's
  std::function<double(const Row&)> temperature; ///< t_i, on top of the model's own factor
  /// Changes the logits of all keys of the sequence; k_hidden hides a key. Null: hides the keys
  /// that a causal, bottom-right mask hides.
  std::function<void(const Row&, std::span<double>)> bend;
  std::function<double(const Row&)> extra_mass; ///< logarithm of the mass without value; -inf: none
  bool lse_counts_extra_mass = true;
};

/// Hides keys that the row should not see.
void hide_future(const Row& row, std::span<double> logits);

/// ln Σ exp(x), -infinity for nothing.
[[nodiscard]] double log_sum_exp(std::span<const double> logits);

/// Computes mechanisms on the rows of a sample.
class Predictor {
public:
  Predictor(const Sample& sample, const Noise& noise) : m_sample(sample), m_noise(noise) {}

  /// Bent logits of a row, all keys of its sequence; without a bend, of the keys that it sees.
  void logits(const Mechanism& mechanism, const Row& row, std::vector<double>& result) const;
  [[nodiscard]] Prediction predict(const Mechanism& mechanism, const Row& row) const;
  /// Σ_j weights[r][j] v_j for `count` rows of weights over the first `keys` keys.
  void average(const Mechanism& mechanism, const Row& row, std::size_t keys, std::size_t count,
               const std::vector<double>& weights, std::vector<double>& result) const;

  [[nodiscard]] const Sample& sample() const { return m_sample; }
  [[nodiscard]] const Noise& noise() const { return m_noise; }

private:
  const Sample& m_sample;
  Noise m_noise;
};

} // namespace mla_scale::diagnose
