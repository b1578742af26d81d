#pragma once

#include <mla_scale/core/number.hpp>
#include <mla_scale/diagnose/mechanism.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// How far one row is from what a hypothesis predicts.
struct RowOutcome {
  std::size_t index = 0; ///< of the sample's row
  bool has_out = false;
  double out_squared = 0.0; ///< |captured - predicted|²
  double fine = 0.0;        ///< variances, see Prediction
  double coarse = 0.0;
  bool has_lse = false;
  double lse = 0.0;     ///< predicted
  double maximum = 0.0; ///< predicted largest logit
  double lse_fine = 0.0;
  double lse_coarse = 0.0;
  double maximum_fine = 0.0;
};

using RowPredictor = std::function<Prediction(const Row&)>;

/// Predictions against the capture, on chosen rows of the sample.
[[nodiscard]] std::vector<RowOutcome> outcomes(const Sample& sample, const RowPredictor& predict,
                                               std::span<const std::size_t> rows);

/// Log-likelihood of outcomes under Gaussian errors of a healthy kernel's size, with its coarseness
/// (how much its logits were rounded) as the one free number.
struct Score {
  double likelihood = -k_infinity; ///< out and lse together
  double out_ratio = 0.0;          ///< rms error / rms of a healthy kernel; 0 without out
  double fine_ratio = 0.0;         ///< the same against a kernel that rounds no logits
  double lse_ratio = 0.0;          ///< 0 without lse
  double worst_head = 0.0;         ///< out_ratio (lse_ratio without out) of the worst head
  double coarseness = 0.0;         ///< 0: logits in float32; 1: rounded to the dtype
  std::size_t rows = 0;
};

/// Scores out, and lse when `lse` gives the value expected for each outcome (empty: out alone).
[[nodiscard]] Score score(const Sample& sample, std::span<const RowOutcome> outcomes,
                          std::span<const double> lse);

/// Root mean square error of lse against `expected`, in units of a healthy kernel's error at the
/// given coarseness.
[[nodiscard]] double lse_ratio(const Sample& sample, std::span<const RowOutcome> outcomes,
                               std::span<const double> expected, double coarseness);

} // namespace mla_scale::diagnose
