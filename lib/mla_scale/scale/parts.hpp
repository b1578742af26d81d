#pragma once

// The parts of a derivation, in the order in which derive_softmax_scale calls them.

#include <mla_scale/scale/magnitude.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace mla_scale::scale {

/// Whether Mistral's switch turns YaRN's magnitude on: in params.json apply_scale does unless it is
/// false; in a config.json of Mistral's families only the key with the value true. Where it does
/// and mscale_all_dim is missing, that counts as 1.
[[nodiscard]] bool mistral_switch_is_on(const model::MlaConfig& config);

/// The Error for a factor that is missing or null where `why` needs it.
[[nodiscard]] Error factor_error(const model::MlaConfig& config, std::string_view why);

/// Fills in cos_sin_factor. Error: schema when yarn has no factor.
[[nodiscard]] std::optional<Error> set_cos_sin(const model::MlaConfig& config, SoftmaxScale& scale);

/// Names what beside the scale changes logits, so that nobody takes the number for the whole story.
void set_beside(const model::MlaConfig& config, SoftmaxScale& scale);

/// Fills in the alternatives where engines are known to take different values from the same file.
/// Needs scale.base.
void set_dispute(const model::MlaConfig& config, SoftmaxScale& scale);

} // namespace mla_scale::scale
