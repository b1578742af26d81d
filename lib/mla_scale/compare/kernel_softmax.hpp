#pragma once

#include <mla_scale/compare/recipe.hpp>
#include <mla_scale/compare/row_sample.hpp>

#include <cstddef>
#include <span>

namespace mla_scale::compare {

/// Softmax over one sampled row as the kernel of a recipe computes it. Keeps two numbers, not the
/// row's weights: those of many rows under many recipes would not fit into memory.
class KernelSoftmax {
public:
  KernelSoftmax() = default;
  /// \pre sample and recipe outlive this
  KernelSoftmax(const RowSample& sample, double softmax_scale, const Recipe& recipe);

  [[nodiscard]] double lse() const;

  /// Weights of the values of keys [first, first + weights.size()), all of which the row sees.
  void weigh(std::size_t first, std::span<double> weights) const;

private:
  [[nodiscard]] double logit(std::size_t key) const;
  /// exp(logit - maximum), rounded as the recipe rounds probabilities.
  [[nodiscard]] double rounded(double probability) const;

  const RowSample* m_sample = nullptr;
  const Recipe* m_recipe = nullptr;
  double m_softmax_scale = 0.0;
  double m_maximum = 0.0;
  double m_sum = 0.0;
};

/// What a recipe's roundings do to an lse on average, so that a row whose simulated error is small
/// by luck does not get a floor that no other kernel can meet: to first order the lse changes by
/// Σ p_j · (change of logit j, and relative change of p_j where rounded ones are summed), with p
/// the row's exact probabilities.
[[nodiscard]] double lse_noise(const RowSample& sample, double softmax_scale,
                               std::span<const double> probabilities, const Recipe& recipe);

} // namespace mla_scale::compare
