#pragma once

#include <mla_scale/tensor/capture.hpp>

namespace mla_scale::diagnose {

/// Root mean square of the relative error of rounding to nearest with `bits` explicit bits of
/// mantissa, over mantissas that are uniform in the logarithm: 2^-bits / sqrt(12) · sqrt(3 / (8 ln
/// 2)).
[[nodiscard]] double rounding_unit(int bits);

/// How coarsely a healthy kernel rounds. All are rms relative errors of one rounding.
struct Noise {
  double out = 0.0;                ///< of the output
  double probability = 0.0;        ///< of the probabilities before P·V
  double lse = 0.0;                ///< of lse: float32 sums, and its dtype
  double logit = 0.0;              ///< of the logits: float32 products
  double stored = 0.0;             ///< of k and v where they are computed from a latent
  double coarse_logit = 0.0;       ///< of the logits, in the kernels that round them
  double coarse_probability = 0.0; ///< of P and V there, on top of `probability`
};

/// Noise of a kernel that works in the dtype of the capture's q and k, which are in the capture or
/// else computed `from_latent`, and writes the dtype of its out. float32 tensors that hold only
/// bf16 or f16 numbers count as those.
[[nodiscard]] Noise noise_of(const tensor::Capture& capture, bool from_latent);

/// True when logits rounded to bf16 are how the coarse level is called (inputs in bf16).
[[nodiscard]] bool is_bf16(const tensor::Capture& capture);

} // namespace mla_scale::diagnose
