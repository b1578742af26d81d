#pragma once

#include <mla_scale/compare/row_sample.hpp>

#include <vector>

namespace mla_scale::compare {

/// How the logits of one row spread.
struct RowSpread {
  double logits = 0.0;      ///< standard deviation of the bulk of its logits, by their quartiles
  double weighted = 0.0;    ///< the same of all of them, weighted by their probabilities
  bool telling = false;     ///< of enough logits for their spread to be no luck
  double information = 0.0; ///< about (d out / d ln scale)² / |out|², of values of equal size
};

/// Spreads of sampled rows at a softmax scale.
[[nodiscard]] std::vector<RowSpread> row_spreads(const std::vector<RowSample>& samples,
                                                 double softmax_scale);

/// What rounding probabilities does to all rows alike.
struct RoundingBias {
  double scale = 0.0; ///< at most, of the relative error of a fitted scale
  double gain = 0.0;  ///< at most, of the mean relative error of out
};

/// The most that rounding probabilities to a format of relative step `step`
/// (two unit roundoffs) may bias a fit with, whichever way a kernel normalises
/// them.
///
/// Rounding errors average out where the logits of a row spread over several
/// steps of the rounding; where they lie within one, all probabilities round
/// the same way and the row's logits leave no trace. The error is a sawtooth of
/// the logit, so that normal logits of deviation σ leave of its k-th harmonic
/// exp(-2π²k²σ²/step²), the phase unknown; and no error is larger than half a
/// step.
[[nodiscard]] RoundingBias rounding_bias(const std::vector<RowSpread>& rows, double step);

} // namespace mla_scale::compare
