#pragma once

#include <mla_scale/engines/engine_rule.hpp>

#include <string>
#include <vector>

namespace mla_scale::engines {

/// One line of a rule's description.
struct Description {
  std::string_view label; ///< "formula", "applies", "key", "versions", "source"
  std::string text;
};

/// What `explain` prints for a rule: formula, when it applies, keys and what stands in for missing
/// ones, what switches it off, prefill against decode, cos/sin, Mistral's format, families,
/// versions, source and how sure it is. Composed from the row; lines with nothing to say are left
/// out.
[[nodiscard]] std::vector<Description> describe(const EngineRule& rule);

} // namespace mla_scale::engines
