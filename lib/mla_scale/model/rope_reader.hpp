#pragma once

#include "config_reader.hpp"

#include <mla_scale/model/mla_config.hpp>

namespace mla_scale::model {

/// Reads the rope of a HuggingFace config, in the spellings of transformers v4 and v5.
///
/// A non-empty rope_scaling wins over rope_parameters, rope_type over type, and rope_theta inside
/// the dictionary over the one outside: what transformers 5.17.0 does (executed). Where a
/// dictionary holds one per layer kind, the one of the full-attention layers is taken. Errors are
/// left in `reader`.
[[nodiscard]] Rope read_rope(ConfigReader& reader, const Family& family);

} // namespace mla_scale::model
