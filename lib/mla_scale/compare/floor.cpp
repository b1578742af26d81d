#include <mla_scale/compare/floor.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace mla_scale::compare {
namespace {

using reference::Form;
using reference::Problem;

/// What one level does on the way.
struct Recipe {
  InputRounding input;
  Rounding product = Rounding::none;     // of <q, k>
  Rounding logit = Rounding::none;       // of scale · <q, k>
  Rounding probability = Rounding::none; // of exp(logit - maximum)
  Rounding normalised = Rounding::none;  // of probabilities that sum to 1
  bool sums_rounded = false;             // the probabilities as they were rounded
  double probability_gain = 1.0;         // kernels shift the exponent to use the format's range
};

Recipe recipe_for(Level level, const ComputeDtypes& dtypes, Form form) {
  const Rounding compute = dtypes.compute();
  Recipe recipe;
  if (level == Level::exact) {
    return recipe;
  }
  if (level == Level::tf32 || level == Level::tf32_cut) {
    const Rounding rounding = level == Level::tf32 ? Rounding::tf32 : Rounding::tf32_cut;
    recipe.input = {rounding, rounding, rounding, Rounding::none};
    recipe.probability = rounding;
    return recipe;
  }
  // What is computed from the latent is stored in the dtype before the kernel sees it.
  if (form == Form::latent) {
    recipe.input.key = compute;
    recipe.input.value = compute;
  } else if (form == Form::absorbed) {
    recipe.input.query = compute;
    recipe.input.average = compute;
  }
  recipe.probability = compute;
  if (level == Level::rounded_query) {
    recipe.input.query = compute;
  } else if (level == Level::fp8) {
    recipe.probability = Rounding::e4m3;
    recipe.probability_gain = 256.0;
  } else if (level == Level::flash_cut) {
    recipe.probability = compute == Rounding::f16 ? Rounding::f16_cut : Rounding::bf16_cut;
  } else if (level == Level::rounded_sum) {
    recipe.sums_rounded = true;
  } else if (has_coarse_logits(level)) {
    recipe.product = level == Level::eager ? compute : Rounding::none;
    recipe.logit = compute;
    recipe.normalised = compute;
    recipe.probability = Rounding::none;
  }
  return recipe;
}

bool rounds_inputs(const InputRounding& rounding) {
  return rounding.query != Rounding::none || rounding.key != Rounding::none;
}

/// Probabilities as weights of the values, and the lse, as the kernel of the recipe has them.
double kernel_softmax(const RowSample& sample, double scale, const Recipe& recipe,
                      double* weights) {
  const std::size_t n = sample.nope.size();
  double maximum = -std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < n; ++j) {
    const double product = round_to(recipe.product, sample.nope[j] + sample.rope[j]);
    weights[j] = round_to(recipe.logit, scale * product);
    maximum = std::max(maximum, weights[j]);
  }
  double sum = 0.0;
  for (std::size_t j = 0; j < n; ++j) {
    const double weight = std::exp(weights[j] - maximum);
    weights[j] =
        round_to(recipe.probability, weight * recipe.probability_gain) / recipe.probability_gain;
    sum += recipe.sums_rounded ? weights[j] : weight;
  }
  for (std::size_t j = 0; j < n; ++j) {
    weights[j] = round_to(recipe.normalised, weights[j] / sum);
  }
  return maximum + std::log(sum);
}

double largest_logit(const RowSample& sample, double scale) {
  double largest = 0.0;
  for (std::size_t j = 0; j < sample.nope.size(); ++j) {
    largest = std::max(largest, std::abs(scale * (sample.nope[j] + sample.rope[j])));
  }
  return largest;
}

/// Standard deviation of the scaled logits, weighted by their probabilities up to a factor.
double spread_of_logits(const RowSample& sample, double scale, const double* probabilities) {
  double total = 0.0;
  double sum = 0.0;
  double squares = 0.0;
  for (std::size_t j = 0; j < sample.nope.size(); ++j) {
    const double logit = scale * (sample.nope[j] + sample.rope[j]);
    total += probabilities[j];
    sum += probabilities[j] * logit;
    squares += probabilities[j] * logit * logit;
  }
  const double mean = sum / total;
  return std::sqrt(std::max(0.0, squares / total - mean * mean));
}

/// What a recipe's roundings do to an lse on average, so that a row whose simulated error is small
/// by luck does not get a floor that no other kernel can meet: to first order the lse changes by
/// Σ p_j · (change of logit j, and relative change of p_j where rounded ones are summed).
double lse_noise(const RowSample& sample, double scale, const double* probabilities,
                 const Recipe& recipe) {
  const double of_logit =
      std::hypot(rounding_spread(recipe.product), rounding_spread(recipe.logit));
  // Probabilities within one step of each other all round alike: what that does is simulated.
  const double of_sum = recipe.sums_rounded
                            ? rounding_spread(recipe.probability)
                                  * std::min(1.0, spread_of_logits(sample, scale, probabilities)
                                                      / (2.0 * unit_roundoff(recipe.probability)))
                            : 0.0;
  // exp(0) of the largest logit is 1 and stays so.
  const double largest = *std::max_element(probabilities, probabilities + sample.nope.size());
  double sum = 0.0;
  for (std::size_t j = 0; j < sample.nope.size(); ++j) {
    const double logit = scale * (sample.nope[j] + sample.rope[j]) * of_logit;
    const double inputs = sample.noise.empty() ? 0.0 : scale * sample.noise[j];
    const double spread = std::hypot(logit, inputs, probabilities[j] < largest ? of_sum : 0.0);
    sum += probabilities[j] * probabilities[j] * spread * spread;
  }
  return std::sqrt(sum);
}

/// What the exact softmax and that of a kernel say about one row.
struct TwoSoftmaxes {
  std::vector<double> weights; ///< [2, keys]: exact, the kernel's
  double lse_error = 0.0;
  double lse_noise = 0.0;
};

TwoSoftmaxes two_softmaxes(const RowSample& exact, const RowSample& kernel, double scale,
                           const Recipe& recipe) {
  const std::size_t n = exact.nope.size();
  TwoSoftmaxes both;
  both.weights.resize(2 * n);
  const double exact_lse = kernel_softmax(exact, scale, {}, both.weights.data());
  both.lse_error = kernel_softmax(kernel, scale, recipe, both.weights.data() + n) - exact_lse;
  both.lse_noise = lse_noise(kernel, scale, both.weights.data(), recipe);
  return both;
}

/// The error of a row's out over the size of the exact one; all 0 when that vanishes.
struct Along {
  double exact = 0.0; ///< |exact|²
  double error = 0.0; ///< |rounded kernel - exact| / |exact|
  double bias = 0.0;  ///< what of it lies along the exact one
};

Along error_along(Rounding output, std::span<const double> kernel, std::span<const double> exact) {
  Along along;
  double error = 0.0;
  double product = 0.0;
  for (std::size_t c = 0; c < exact.size(); ++c) {
    const double difference = round_to(output, kernel[c]) - exact[c];
    error += difference * difference;
    product += difference * exact[c];
    along.exact += exact[c] * exact[c];
  }
  if (along.exact > 0.0) {
    along.error = std::sqrt(error / along.exact);
    along.bias = product / along.exact;
  }
  return along;
}

} // namespace

Rounding probability_rounding(Level level, const ComputeDtypes& dtypes) {
  const Recipe recipe = recipe_for(level, dtypes, Form::expanded);
  return recipe.probability == Rounding::none ? recipe.normalised : recipe.probability;
}

std::vector<RowFloor> simulate_floor(const Problem& problem, const std::vector<RowSample>& samples,
                                     Level level, const ComputeDtypes& dtypes) {
  const Recipe recipe = recipe_for(level, dtypes, problem.form);
  std::vector<RowSample> rounded;
  if (rounds_inputs(recipe.input)) {
    std::vector<HeadRow> rows;
    for (const RowSample& sample : samples) {
      rows.emplace_back(sample.head, sample.row);
    }
    rounded = sample_logits(problem, rows, recipe.input);
  }
  const std::vector<RowSample>& kernel_samples = rounded.empty() ? samples : rounded;
  const double scale = problem.softmax_scale;
  std::vector<TwoSoftmaxes> softmaxes(samples.size());
  parallel_for(samples.size(), static_cast<unsigned>(problem.threads), [&](std::size_t i) {
    softmaxes[i] = two_softmaxes(samples[i], kernel_samples[i], scale, recipe);
  });
  std::vector<std::span<const double>> weights(softmaxes.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = softmaxes[i].weights;
  }
  const std::vector<double> both = average_values(problem, {}, samples, 2, weights);
  std::vector<double> of_kernel; // where it rounds values as well
  if (recipe.input.value != Rounding::none || recipe.input.average != Rounding::none) {
    for (std::span<const double>& row : weights) {
      row = row.subspan(row.size() / 2);
    }
    of_kernel = average_values(problem, recipe.input, samples, 1, weights);
  }
  const Rounding output = rounding_of(dtypes.output);
  const double sum_noise = tensor::is_float8(dtypes.input) ? 0x1p-12 : 0x1p-21;
  const auto width = static_cast<std::size_t>(problem.v_width());
  std::vector<RowFloor> floors(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double noise = sum_noise * (1.0 + largest_logit(samples[i], scale));
    const std::span<const double> row = std::span(both).subspan(2 * width * i, 2 * width);
    const std::span<const double> kernel =
        of_kernel.empty() ? row.last(width) : std::span(of_kernel).subspan(width * i, width);
    const Along along = error_along(output, kernel, row.first(width));
    floors[i].out = along.exact > 0.0 ? std::hypot(along.error, noise) : 0.0;
    floors[i].bias = along.bias;
    floors[i].lse = std::max(std::hypot(softmaxes[i].lse_error, noise), softmaxes[i].lse_noise);
  }
  return floors;
}

} // namespace mla_scale::compare
