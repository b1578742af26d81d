#include <mla_scale/check/expectation.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>
#include <mla_scale/engines/evaluate.hpp>

#include <cmath>

namespace mla_scale::check {
namespace {

/// Rivals nearer than this are a matter of the fit, not of what the inputs can show.
constexpr double k_near_rival = 0.05;

diagnose::Rotary rotary_of(const model::MlaConfig& config, const scale::SoftmaxScale& scale) {
  diagnose::Rotary rotary;
  if (!config.rope.rotated) {
    return rotary;
  }
  const scale::RopeFrequencies frequencies = scale::rope_frequencies(config);
  rotary.inverse_frequencies = scale::inverse_frequencies(frequencies);
  scale::RopeFrequencies plain = frequencies;
  plain.yarn = false;
  rotary.plain_inverse_frequencies = scale::inverse_frequencies(plain);
  rotary.interleaved = config.rope.interleaved.value_or(true);
  rotary.cos_sin_factor = scale.cos_sin_factor.value_or(1.0);
  return rotary;
}

} // namespace

tensor::Geometry geometry_of(const model::MlaConfig& config) {
  const model::Dims& dims = config.dims;
  return {*dims.num_attention_heads, *dims.kv_lora_rank, *dims.qk_nope_head_dim,
          *dims.qk_rope_head_dim, *dims.v_head_dim};
}

diagnose::Expectation expectation_of(const model::MlaConfig& config,
                                     const scale::SoftmaxScale& scale, double softmax_scale) {
  diagnose::Expectation expectation;
  expectation.geometry = geometry_of(config);
  expectation.softmax_scale = softmax_scale;
  expectation.base = scale.base;
  expectation.mscale = scale.mscale;
  const model::Rope& rope = config.rope;
  if (rope.is_yarn() && rope.factor && rope.mscale) {
    expectation.mscale_other_key = scale::yarn_magnitude(*rope.factor, *rope.mscale);
  }
  expectation.rotary = rotary_of(config, scale);
  for (const engines::EngineValue& value : engines::evaluate_all(config, &scale)) {
    if (value.prefill || value.decode) {
      expectation.engines.push_back(
          {std::string(value.rule->id), value.because, value.prefill, value.decode});
    }
  }
  return expectation;
}

std::vector<compare::Rival> rivals_of(const diagnose::Expectation& expectation) {
  std::vector<compare::Rival> rivals;
  for (const diagnose::ScaleCandidate& candidate : diagnose::scale_candidates(expectation)) {
    if (candidate.value > 0.0
        && std::abs(std::log(candidate.value / expectation.softmax_scale)) > k_near_rival) {
      rivals.push_back({candidate.id, candidate.value});
    }
  }
  return rivals;
}

} // namespace mla_scale::check
