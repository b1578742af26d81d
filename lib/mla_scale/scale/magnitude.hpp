#pragma once

#include <mla_scale/model/mla_config.hpp>

#include <string>

namespace mla_scale::scale {

/// What keeps the law from applying the magnitude g; the first that does.
enum class Closed {
  no,           ///< it applies
  shared_kv,    ///< K = V is shared
  nope,         ///< nothing is rotated
  family,       ///< the family never applies it
  rope_type,    ///< "default", or not the one type that the family asks for
  switched_off, ///< apply_yarn_scaling or apply_scale is false
  no_weight,    ///< mscale_all_dim is absent or 0
};

/// Whether the magnitude g applies, and with which mscale_all_dim.
struct Magnitude {
  Closed closed = Closed::no;
  double mscale_all_dim = 0;
  std::string reason;   ///< why it applies or not
  model::Origin origin; ///< the key that the reason is about, or the family's row

  [[nodiscard]] bool applies() const { return closed == Closed::no; }
};

/// The family's rule on this config's rope keys.
[[nodiscard]] Magnitude magnitude_of(const model::MlaConfig& config);

} // namespace mla_scale::scale
