#pragma once

#include <mla_scale/engines/rope_view.hpp>

namespace mla_scale::engines {

/// The factor g that an engine squares into the softmax scale.
struct Magnitude {
  double g = 1;
  bool open = false;      ///< the gate let it through
  bool yarn_seen = false; ///< the engine takes the rope for YaRN
  double weight = 0;      ///< the m of g(factor, m)
  std::string reason;     ///< what it did, "reads mscale (1), not mscale_all_dim (0.707)"
  std::string error;      ///< the engine's own words when it fails instead
};

/// g(factor, weight) as the rule finds it, or 1 where its gate is closed.
[[nodiscard]] Magnitude find_magnitude(const EngineRule& rule, const model::MlaConfig& config,
                                       const RopeView& view);

/// What cos and sin are multiplied by; empty where nothing is rotated or it is not established.
[[nodiscard]] std::optional<double> find_cos_sin(const EngineRule& rule,
                                                 const model::MlaConfig& config,
                                                 const RopeView& view, const Magnitude& magnitude);

/// What the rule takes for that factor, in words.
[[nodiscard]] std::string cos_sin_reason(const EngineRule& rule, const RopeView& view);

/// The error that the checks of transformers 5 on required keys end in; empty when they pass.
[[nodiscard]] std::string missing_required_keys(const model::MlaConfig& config,
                                                const RopeView& view);

} // namespace mla_scale::engines
