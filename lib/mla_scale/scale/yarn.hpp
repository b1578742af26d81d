#pragma once

#include <vector>

namespace mla_scale::scale {

/// YaRN's magnitude g(factor, mscale) = 0.1 * mscale * ln(factor) + 1 for factor > 1, else 1.
///
/// DeepSeek's yarn_get_mscale (deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788; the clamp at 1
/// is in every port).
[[nodiscard]] double yarn_magnitude(double factor, double mscale);

/// What decides the rotary frequencies.
struct RopeFrequencies {
  int rotary_dim = 0; ///< width of the rotated slice, even
  double theta = 10000;
  bool yarn = false; ///< false: plain theta^(-2i/d)
  double factor = 1;
  double original_max_position_embeddings = 4096;
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true; ///< round the ends of the ramp to whole dimensions
};

/// Angles per position of the rotary_dim / 2 pairs, in radians.
///
/// With p_i = theta^(2i/d): plain 1 / p_i; YaRN (1 - e_i) / (factor * p_i) + e_i / p_i, where e_i
/// falls from 1 to 0 between the pairs that turn beta_fast and beta_slow times over the original
/// context. huggingface/transformers src/transformers/modeling_rope_utils.py@decba1d2
/// _compute_yarn_parameters.
[[nodiscard]] std::vector<double> inverse_frequencies(const RopeFrequencies& rope);

} // namespace mla_scale::scale
