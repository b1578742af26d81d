#pragma once

#include <mla_scale/compare/judge.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace mla_scale::diagnose {

/// (head, row) pairs where the comparison saw the largest errors: of each bad head, worst first,
/// the worst row of any, then the worst elements.
[[nodiscard]] std::vector<std::pair<std::int64_t, std::int64_t>>
suspects_of(const compare::Judgement& judgement);

} // namespace mla_scale::diagnose
