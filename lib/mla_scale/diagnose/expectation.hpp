#pragma once

#include <mla_scale/tensor/capture.hpp>

#include <optional>
#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// What rotary embedding the model wants; empty frequencies: not known, or not rotated.
struct Rotary {
  std::vector<double> inverse_frequencies;       ///< [qk_rope_head_dim / 2], YaRN included
  std::vector<double> plain_inverse_frequencies; ///< theta^(-2i / qk_rope_head_dim)
  bool interleaved = false;    ///< pairs (2i, 2i+1) of the tensor before RoPE; else (i, i + R/2)
  double cos_sin_factor = 1.0; ///< cosines and sines are multiplied by it
};

/// What one engine would compute from the same config.
struct EngineScale {
  std::string engine; ///< for example "vllm@32623"
  std::string because;
  std::optional<double> prefill;
  std::optional<double> decode;
};

/// What a capture is expected to follow. Plain numbers: this module derives none of them.
struct Expectation {
  tensor::Geometry geometry;
  bool decode = false;        ///< the phase: absorbed decode, or prefill
  double softmax_scale = 0.0; ///< the scale of the model in this phase
  double base = 0.0;          ///< qk_head_dim^-1/2; 0: computed from the geometry
  double mscale = 1.0;        ///< g(factor, mscale_all_dim); the scale is base · mscale²
  std::optional<double> mscale_other_key; ///< g(factor, mscale): what the wrong key would give
  Rotary rotary;
  std::vector<EngineScale> engines;
};

} // namespace mla_scale::diagnose
