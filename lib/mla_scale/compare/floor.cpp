#include <mla_scale/compare/floor.hpp>
#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace mla_scale::compare {
namespace {

using reference::Form;
using reference::Problem;

/// What one level does on the way.
struct Recipe {
  InputRounding input;
  Rounding logit = Rounding::none;       // of <q, k> and again of scale · <q, k>
  Rounding probability = Rounding::none; // of exp(logit - maximum)
  Rounding normalised = Rounding::none;  // of probabilities that sum to 1
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
  } else if (level == Level::eager) {
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
    const double product = round_to(recipe.logit, sample.nope[j] + sample.rope[j]);
    weights[j] = round_to(recipe.logit, scale * product);
    maximum = std::max(maximum, weights[j]);
  }
  double sum = 0.0;
  for (std::size_t j = 0; j < n; ++j) {
    weights[j] = std::exp(weights[j] - maximum);
    sum += weights[j];
  }
  for (std::size_t j = 0; j < n; ++j) {
    const double gained = round_to(recipe.probability, weights[j] * recipe.probability_gain)
                          / recipe.probability_gain;
    weights[j] = round_to(recipe.normalised, gained / sum);
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

/// What rounding the logits does to an lse on average, so that a row whose simulated error is small
/// by luck does not get a floor that no other kernel can meet: rounding errors of one number have a
/// spread of about 0.4 units, and logits are rounded twice.
double logit_noise(const RowSample& sample, double scale, const double* probabilities,
                   Rounding rounding) {
  double sum = 0.0;
  for (std::size_t j = 0; j < sample.nope.size(); ++j) {
    const double weighted = probabilities[j] * scale * (sample.nope[j] + sample.rope[j]);
    sum += weighted * weighted;
  }
  return 0.6 * unit_roundoff(rounding) * std::sqrt(sum);
}

} // namespace

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
  const Rounding output = rounding_of(dtypes.output);
  const double sum_noise = tensor::is_float8(dtypes.input) ? 0x1p-12 : 0x1p-21;
  std::vector<std::pair<std::size_t, std::size_t>> heads;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (i == 0 || samples[i].head != samples[i - 1].head) {
      heads.emplace_back(i, i);
    }
    heads.back().second = i + 1;
  }
  std::vector<RowFloor> floors(samples.size());
  parallel_for(heads.size(), static_cast<unsigned>(problem.threads), [&](std::size_t head) {
    ValueAverager averager(problem);
    std::optional<ValueAverager> kernel_averager;
    if (recipe.input.value != Rounding::none || recipe.input.average != Rounding::none) {
      kernel_averager.emplace(problem, recipe.input);
    }
    std::vector<double> weights;
    for (std::size_t i = heads[head].first; i < heads[head].second; ++i) {
      const std::size_t n = samples[i].nope.size();
      weights.resize(2 * n);
      const double scale = problem.softmax_scale;
      const double exact_lse = kernel_softmax(samples[i], scale, {}, weights.data());
      const double lse = kernel_softmax(kernel_samples[i], scale, recipe, weights.data() + n);
      const std::vector<double> both = averager.average(samples[i], 2, weights);
      const std::size_t width = both.size() / 2;
      std::vector<double> kernel(both.begin() + static_cast<std::ptrdiff_t>(width), both.end());
      if (kernel_averager) {
        kernel = kernel_averager->average(samples[i], 1, std::span(weights).subspan(n));
      }
      double error = 0.0;
      double exact = 0.0;
      for (std::size_t c = 0; c < width; ++c) {
        const double difference = round_to(output, kernel[c]) - both[c];
        error += difference * difference;
        exact += both[c] * both[c];
      }
      const double noise = sum_noise * (1.0 + largest_logit(samples[i], scale));
      floors[i].out = exact > 0.0 ? std::sqrt(error / exact + noise * noise) : 0.0;
      floors[i].lse = std::max(std::hypot(lse - exact_lse, noise),
                               logit_noise(samples[i], scale, weights.data(), recipe.logit));
    }
  });
  return floors;
}

} // namespace mla_scale::compare
