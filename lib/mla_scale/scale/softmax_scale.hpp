#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/model/mla_config.hpp>
#include <mla_scale/scale/yarn.hpp>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::scale {

/// One step of a derivation: either a value that was read or defaulted, or one computed from the
/// steps before it.
struct Step {
  std::string step;    ///< what it is, "qk_head_dim"
  std::string formula; ///< how it comes about, "qk_nope_head_dim + qk_rope_head_dim"
  std::optional<double> value;
  model::Origin origin; ///< kind derived for computed steps
};

/// A value that some engines take instead.
struct Alternative {
  double value = 0;
  std::string when;
  std::vector<std::string>
      engines; ///< identifiers of the engines table; filled in by who may see it
};

/// The softmax scale that a model's own law asks for, and how it comes about.
struct SoftmaxScale {
  double prefill = 0;
  double decode = 0;
  double base = 0;   ///< qk_head_dim^-1/2
  double mscale = 1; ///< g: the scale is base * g^2
  bool disputed = false;
  std::vector<Alternative>
      alternatives; ///< where disputed: every value with who takes it, the chosen one included
  std::string deciding_key; ///< the key that the dispute hangs on
  std::vector<Step> derivation;
  std::optional<double> cos_sin_factor; ///< multiplies cos and sin; empty where nothing is rotated
  std::string cos_sin_formula;
  std::vector<std::string> beside; ///< things beside the scale that change logits
};

/// Softmax scale of prefill and of absorbed decode.
///
/// scale = qk_head_dim^-1/2 * g(factor, mscale_all_dim)^2, g = 1 where the family's rule does not
/// apply YaRN's magnitude. Decode contracts over latent_dim but multiplies the same inner product,
/// so its scale is the same number. Errors: schema for a factor that the rule needs and the file
/// lacks; unsupported for an unknown rope type. Source: the family's row; deepseek-ai/DeepSeek-V3
/// inference/model.py@9b4e9788 L434.
[[nodiscard]] Result<SoftmaxScale> derive_softmax_scale(const model::MlaConfig& config);

/// What the config says about its rotary frequencies, with the defaults of transformers for missing
/// keys.
[[nodiscard]] RopeFrequencies rope_frequencies(const model::MlaConfig& config);

/// Bytes of cache that one token takes in one layer.
struct CacheBytes {
  std::string dtype;
  std::int64_t latent =
      0; ///< kv_lora_rank + qk_rope_head_dim elements (head_dim where K = V is shared)
  std::optional<std::int64_t>
      expanded; ///< num_attention_heads * (qk_head_dim + v_head_dim) elements
};

/// One row each for bf16, fp8 and fp32, without the extra bytes of quantisation scales.
[[nodiscard]] std::vector<CacheBytes> cache_bytes(const model::MlaConfig& config);

/// Rope types that are known, for suggestions and for audits.
[[nodiscard]] std::span<const std::string_view> known_rope_types();

} // namespace mla_scale::scale
