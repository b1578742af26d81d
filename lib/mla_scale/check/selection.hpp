#pragma once

#include <mla_scale/core/result.hpp>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace mla_scale::check {

/// Heads or rows that a user chose: single numbers and ranges, both ends included. Empty: all.
struct Selection {
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
};

/// Reads "0,3,8-15". Error: usage for anything else.
[[nodiscard]] Result<Selection> parse_selection(std::string_view text);

/// The chosen indices, ascending and without repetition; empty for a selection of all.
/// Error: usage when one is not below `count`; `what` names them, as in "head".
[[nodiscard]] Result<std::vector<std::int64_t>> choose(const Selection& selection,
                                                       std::int64_t count, std::string_view what);

} // namespace mla_scale::check
