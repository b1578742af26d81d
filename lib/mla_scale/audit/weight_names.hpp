#pragma once

#include "weights.hpp"

#include <optional>
#include <string_view>

namespace mla_scale::audit {

/// What the name of an attention tensor says.
struct WeightName {
  std::string_view prefix; ///< of the layer, up to and with the last dot before the role
  WeightShape LayerWeights::*role;
  bool is_scale; ///< weight_scale_inv, not the weight itself

  /// Other attention has a query and an output too; only MLA compresses keys and values.
  [[nodiscard]] bool tells_mla() const {
    return !is_scale && (role == &LayerWeights::kv_a || role == &LayerWeights::kv_b);
  }
};

/// Nothing for a tensor that is no weight of attention. Refers into `name`.
[[nodiscard]] std::optional<WeightName> parse_weight_name(std::string_view name);

/// Orders "layers.9." before "layers.10.": runs of digits are compared as numbers.
struct ByNumber {
  bool operator()(std::string_view left, std::string_view right) const;
};

} // namespace mla_scale::audit
