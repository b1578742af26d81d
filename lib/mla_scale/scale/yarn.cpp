#include <mla_scale/scale/yarn.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mla_scale::scale {

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

std::vector<double> inverse_frequencies(const RopeFrequencies& rope) {
  const double d = rope.rotary_dim;
  const auto dimension_turning = [&](double turns) {
    return d * std::log(rope.original_max_position_embeddings / (turns * 2 * std::numbers::pi))
           / (2 * std::log(rope.theta));
  };
  double low = dimension_turning(rope.beta_fast);
  double high = dimension_turning(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, d - 1);
  if (low == high) {
    high += 0.001; // keeps the ramp finite, as every implementation does
  }
  std::vector<double> frequencies(static_cast<std::size_t>(rope.rotary_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double plain = std::pow(rope.theta, -2.0 * static_cast<double>(i) / d);
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = rope.yarn ? plain / rope.factor * ramp + plain * (1 - ramp) : plain;
  }
  return frequencies;
}

} // namespace mla_scale::scale
