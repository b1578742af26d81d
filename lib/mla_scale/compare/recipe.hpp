#pragma once

#include <mla_scale/compare/level.hpp>
#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/reference/problem.hpp>

namespace mla_scale::compare {

/// What a kernel of one level rounds on its way.
struct Recipe {
  InputRounding input;
  Rounding product = Rounding::none;     ///< of <q, k>
  Rounding logit = Rounding::none;       ///< of scale · <q, k>
  Rounding probability = Rounding::none; ///< of exp(logit - maximum)
  Rounding normalised = Rounding::none;  ///< of probabilities that sum to 1
  bool sums_rounded = false;             ///< the probabilities as they were rounded
  double probability_gain = 1.0;         ///< kernels shift the exponent to use the format's range
};

/// The recipe of a level for kernels of these dtypes that read their inputs in this form.
[[nodiscard]] Recipe recipe_for(Level level, const ComputeDtypes& dtypes, reference::Form form);

/// What kernels of a level round probabilities to.
[[nodiscard]] Rounding probability_rounding(Level level, const ComputeDtypes& dtypes);

} // namespace mla_scale::compare
