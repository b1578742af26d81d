#pragma once

#include <mla_scale/diagnose/sample.hpp>
#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <vector>

namespace mla_scale::diagnose {

/// Keys that a row sees: up to so many make it a short one, more than so many a long one.
inline constexpr std::int64_t k_short_row = 4096;
inline constexpr std::int64_t k_long_row = 16384;

/// At most `heads` heads (those of `suspects` first, half of them at most) and about `budget`
/// logits, twice as many where rows are long and with the rows of `suspects`: rows spread
/// evenly, with the first and last rows of every sequence and those beside multiples of 64 first.
/// Of long sequences fewer heads, two or more, and up to a dozen short rows of each on top, unless
/// the logits of their keys are more than four million. Rows that should see no key are left out.
/// Sorted.
[[nodiscard]] std::vector<HeadRow> choose_rows(const reference::Problem& problem,
                                               std::int64_t heads, std::int64_t budget,
                                               const std::vector<HeadRow>& suspects = {});

} // namespace mla_scale::diagnose
