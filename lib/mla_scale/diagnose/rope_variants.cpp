#include <mla_scale/diagnose/rope_variants.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace mla_scale::diagnose {

std::vector<RopeVariant> rope_variants(const Rotary& rotary, const Rotation& right) {
  std::vector<RopeVariant> all;
  Rotation swapped = right;
  swapped.pairing = right.pairing == Pairing::interleaved ? Pairing::halves : Pairing::interleaved;
  Rotation mixed = right;
  mixed.pairing = Pairing::mixed;
  Rotation plain = right;
  plain.frequencies = rotary.plain_inverse_frequencies;
  Rotation none = right;
  none.frequencies.clear();
  Rotation none_unscaled = none;
  none_unscaled.factor = 1.0;
  const auto add = [&](std::string id, const std::string& text, const Rotation& query,
                       const Rotation& key, double cost) {
    all.push_back({std::move(id), text, query, key, {}, cost, false});
  };
  const std::string pairing = fmt::format("pairs rotated as {}, not as {}",
                                          to_string(swapped.pairing), to_string(right.pairing));
  add("rope.interleave_swapped", pairing + ", in q and k", swapped, swapped, 1.0);
  add("rope.interleave_swapped", pairing + ", in q alone", swapped, right, 2.0);
  add("rope.interleave_swapped", pairing + ", in k alone", right, swapped, 2.0);
  // One side permuted before it is rotated, the other not: their columns do not meet.
  const auto permuted = [](Rotation rotation) {
    rotation.to_halves = rotation.pairing == Pairing::interleaved;
    return rotation;
  };
  const std::string unmet = ", its columns in another order than the other's";
  add("rope.interleave_swapped", pairing + ", in q alone" + unmet, permuted(swapped),
      permuted(right), 2.5);
  add("rope.interleave_swapped", pairing + ", in k alone" + unmet, permuted(right),
      permuted(swapped), 2.5);
  add("rope.interleave_swapped", std::string(to_string(Pairing::mixed)), mixed, mixed, 2.0);
  bool differs = false;
  for (std::size_t at = 0; at < std::min(plain.frequencies.size(), right.frequencies.size());
       ++at) {
    differs = differs || std::abs(plain.frequencies[at] / right.frequencies[at] - 1.0) > 1e-9;
  }
  if (differs) {
    add("rope.frequencies_plain", "frequencies theta^(-2i/R) without YaRN, in q and k", plain,
        plain, 1.0);
    add("rope.frequencies_plain", "frequencies without YaRN in q alone", plain, right, 2.0);
    add("rope.frequencies_plain", "frequencies without YaRN in k alone", right, plain, 2.0);
    Rotation both = plain;
    both.pairing = swapped.pairing;
    add("rope.frequencies_plain", "frequencies without YaRN, and " + pairing, both, both, 3.0);
  }
  add("rope.not_applied", "q and k as before RoPE", none, none, 1.0);
  add("rope.not_applied", "q as before RoPE", none, right, 2.0);
  add("rope.not_applied", "k as before RoPE", right, none, 2.0);
  add("rope.not_applied", "q as before RoPE" + unmet, none, permuted(right), 2.5);
  add("rope.not_applied", "k as before RoPE" + unmet, permuted(right), none, 2.5);
  if (right.factor != 1.0) {
    add("rope.not_applied", "q and k as before RoPE, without the cos/sin factor", none_unscaled,
        none_unscaled, 1.5);
  }
  return all;
}

} // namespace mla_scale::diagnose
