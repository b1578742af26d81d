#include <mla_scale/diagnose/noise.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mla_scale::diagnose {

namespace {

/// Explicit mantissa bits that every one of (a sample of) the tensor's values fits in: 3, 7, 10 or
/// 23.
int mantissa_bits(const tensor::View3& view) {
  switch (view.tensor->dtype) {
  case tensor::Dtype::bf16:
    return 7;
  case tensor::Dtype::f16:
    return 10;
  case tensor::Dtype::f8_e4m3fn:
    return 3;
  case tensor::Dtype::f8_e5m2:
    return 2;
  default:
    break;
  }
  int bits = 7;
  const auto step = std::max<std::int64_t>(1, view.tokens / 16);
  for (std::int64_t token = 0; token < view.tokens && bits < 23; token += step) {
    for (std::int64_t column = 0; column < view.width; ++column) {
      int exponent = 0;
      const double mantissa = std::frexp(view.at(token, 0, column), &exponent);
      if (!std::isfinite(mantissa) || mantissa == 0.0) {
        continue;
      }
      while (bits < 23
             && std::ldexp(mantissa, bits + 1) != std::trunc(std::ldexp(mantissa, bits + 1))) {
        bits = bits == 7 ? 10 : 23;
      }
    }
  }
  return bits;
}

int input_bits(const tensor::Capture& capture) {
  int bits = 23;
  for (const auto* view : {&capture.q, &capture.k, &capture.kv_c, &capture.v}) {
    if (*view) {
      bits = std::min(bits, mantissa_bits(**view));
    }
  }
  return bits;
}

} // namespace

double rounding_unit(int bits) {
  return std::ldexp(1.0, -bits) / std::sqrt(12.0) * std::sqrt(3.0 / (8.0 * std::log(2.0)));
}

bool is_bf16(const tensor::Capture& capture) {
  return input_bits(capture) == 7;
}

Noise noise_of(const tensor::Capture& capture, bool from_latent) {
  const int input = input_bits(capture);
  const int output = capture.out ? mantissa_bits(*capture.out) : input;
  Noise noise;
  // Sums in float32 leave a few 1e-7 whatever the dtypes are.
  const double float32 = 4e-7;
  noise.out = std::max(rounding_unit(output), float32);
  noise.probability = input <= 3 ? rounding_unit(7) : std::max(rounding_unit(input), float32);
  noise.stored = from_latent && input < 23 ? rounding_unit(std::max(input, 7)) : 0.0;
  noise.lse = 1e-6;
  noise.logit = 2e-7;
  if (capture.lse && capture.lse->tensor->dtype != tensor::Dtype::f64
      && capture.lse->tensor->dtype != tensor::Dtype::f32) {
    noise.lse = rounding_unit(mantissa_bits(*capture.lse));
  }
  const double tf32 = rounding_unit(10);
  noise.coarse_logit = input >= 23 ? tf32 : rounding_unit(std::max(input, 7));
  noise.coarse_probability = input >= 23 ? tf32 : (input <= 3 ? rounding_unit(3) : 0.0);
  return noise;
}

} // namespace mla_scale::diagnose
