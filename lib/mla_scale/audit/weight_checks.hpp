#pragma once

#include "weights.hpp"

#include <mla_scale/audit/subject.hpp>

#include <string_view>
#include <vector>

namespace mla_scale::audit {

/// A hit and the rule that it belongs to.
struct RuledHit {
  std::string_view rule;
  Hit hit;
};

/// Compares the shapes of every layer's attention weights with the config's dims (MLA401 to 407):
/// one hit for a tensor, which names the first layer and says in how many it does not fit.
/// `config` has its JSON document and is MLA, not a shared K = V head.
[[nodiscard]] std::vector<RuledHit> check_weights(const model::MlaConfig& config,
                                                  const AttentionWeights& weights);

/// Compares two configs of one directory (MLA411 to 413). The hits stand in `config`.
[[nodiscard]] std::vector<RuledHit> check_sibling_config(const model::MlaConfig& config,
                                                         const model::MlaConfig& other);

/// Compares generation_config.json and hf_quant_config.json with the config (MLA414 to 416).
[[nodiscard]] std::vector<RuledHit> check_generation(const model::MlaConfig& config,
                                                     const json::Value& generation);
[[nodiscard]] std::vector<RuledHit> check_quantization(const model::MlaConfig& config,
                                                       const json::Value& sidecar);

} // namespace mla_scale::audit
