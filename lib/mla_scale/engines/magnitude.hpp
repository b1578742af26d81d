#pragma once

#include <mla_scale/engines/rope_view.hpp>

namespace mla_scale::engines {

/// The factor g that an engine squares into the softmax scale.
struct Magnitude {
  double g = 1;
  bool open = false;      ///< the gate let it through
  bool yarn_seen = false; ///< the engine takes the rope for YaRN
  double weight = 0;      ///< the m of g(factor, m)
  std::string closed;     ///< why the gate is closed; empty when it is open
  std::string reason;     ///< what it did, "reads mscale (1), not mscale_all_dim (0.707)"
  std::string error;      ///< the engine's own words when it fails instead
};

/// What the rule takes for a factor that is not there; 1 too where that is an error.
[[nodiscard]] double missing_factor_of(const EngineRule& rule);

/// g(factor, weight) as the rule finds it, or 1 where its gate is closed.
[[nodiscard]] Magnitude find_magnitude(const EngineRule& rule, const model::MlaConfig& config,
                                       const RopeView& view);

/// Why an engine whose gate is open parts from the law: the gate or switch of the law that it does
/// not have, or else `weight_reason`, where its weight comes from.
[[nodiscard]] std::string applied_because(const EngineRule& rule, const model::MlaConfig& config,
                                          const RopeView& view, const std::string& weight_reason);

/// "reads mscale (1), not mscale_all_dim (0.707)"; a missing mscale counts as `weight`.
[[nodiscard]] std::string mscale_instead(const RopeView& view, double weight);

/// What cos and sin are multiplied by, and how it comes about, for the case that it is not the
/// law's.
struct CosSinFactor {
  std::optional<double> value; ///< empty where nothing is rotated or it is not established
  std::string reason;
};

[[nodiscard]] CosSinFactor find_cos_sin(const EngineRule& rule, const model::MlaConfig& config,
                                        const RopeView& view, const Magnitude& magnitude);

/// The error that the checks of transformers 5 on required keys end in; empty when they pass.
[[nodiscard]] std::string missing_required_keys(const model::MlaConfig& config,
                                                const RopeView& view);

} // namespace mla_scale::engines
