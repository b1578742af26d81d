#pragma once

#include <span>
#include <string_view>

namespace mla_scale::tensor {

/// One tensor that a capture may hold.
struct CaptureName {
  std::string_view canonical;
  std::span<const std::string_view> aliases;
};

/// All canonical names with what else they are called in engines. Source: design.md section 2,
/// "Capture".
[[nodiscard]] std::span<const CaptureName> capture_names();

/// The canonical name that `name` stands for, or an empty view: `name` itself, or what follows one
/// of its dots or slashes ("model.layers.0.self_attn.kv_b_proj.weight"), equals a name or alias, or
/// is one with an ending that marks a scale ("q_descale", "q.scale", "q_scale_inv": q_scale). ASCII
/// case is ignored.
[[nodiscard]] std::string_view canonical_name(std::string_view name);

} // namespace mla_scale::tensor
