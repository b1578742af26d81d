#pragma once

#include <mla_scale/engines/engine_rule.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <vector>

namespace mla_scale::engines {

/// Whether two scales are the same number but for rounding: |left - right| <= tolerance *
/// max(|left|, |right|).
[[nodiscard]] bool same_scale(double left, double right, double tolerance = 1e-9);

/// What one engine would compute for one config, beside the model's own law.
struct EngineValue {
  const EngineRule* rule = nullptr;
  std::optional<double> prefill; ///< multiplies q . k before the softmax
  std::optional<double> decode;
  std::optional<double> cos_sin_factor; ///< empty where nothing is rotated or it is not known
  /// Whether prefill, decode and the cos/sin factor are the law's (relative 1e-9). False where the
  /// engine fails or the law has no value; empty where the engine does not take this model.
  std::optional<bool> agrees;
  std::string error;          ///< the engine's own words: "KeyError: 'factor'"; then no scales
  std::string because;        ///< why it does not agree, or what to know about the value
  bool unknown_model = false; ///< it fails over model_type, not over a rope key
  Certainty certainty = Certainty::read; ///< of this value: the rule's, or less
};

/// Applies one rule to one config. `law` is what derive_softmax_scale says, null where it fails.
///
/// scale = width^-1/2 * g(factor, weight)^2 with the width, the weight and the gate of the row.
/// Lengths are taken from max_position_embeddings, where engines take the length they were started
/// with. An engine that does not read the config's format has no value and no verdict.
[[nodiscard]] EngineValue evaluate(const EngineRule& rule, const model::MlaConfig& config,
                                   const scale::SoftmaxScale* law);

/// evaluate() for every row, in the order of the table.
[[nodiscard]] std::vector<EngineValue> evaluate_all(const model::MlaConfig& config,
                                                    const scale::SoftmaxScale* law);

/// A row that comes to a given scale.
struct ScaleMatch {
  const EngineRule* rule = nullptr;
  bool prefill = false;
  bool decode = false;
  bool agrees = false; ///< with the law as well, so that it explains nothing
};

/// The rows whose prefill or decode scale for this config is `scale` within the relative
/// `tolerance`.
[[nodiscard]] std::vector<ScaleMatch> rules_giving(double scale, const model::MlaConfig& config,
                                                   const scale::SoftmaxScale* law,
                                                   double tolerance);

} // namespace mla_scale::engines
