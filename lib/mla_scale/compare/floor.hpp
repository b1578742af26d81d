#pragma once

#include <mla_scale/compare/level.hpp>
#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/reference/problem.hpp>

#include <vector>

namespace mla_scale::compare {

/// Error of a simulated healthy kernel on one sampled row.
struct RowFloor {
  double out = 0.0;  ///< |simulated out - exact out| / |exact out|; 0 when the exact out vanishes
  double lse = 0.0;  ///< absolute
  double bias = 0.0; ///< of the error of out, what lies along the exact out, over its size
};

/// Simulates a kernel of each level on exactly these inputs with the problem's scale: the inputs as
/// they are, the level's roundings on the way, and the noise of float32 sums, 2^-21 · (1 + largest
/// |logit|), on top (2^-12 for fp8 inputs, whose tensor cores add in about 14 bits). For each level
/// one RowFloor a sample, in order. Reads keys and values once for all levels that round q and k
/// alike.
[[nodiscard]] std::vector<std::vector<RowFloor>>
simulate_floors(const reference::Problem& problem, const std::vector<RowSample>& samples,
                const std::vector<Level>& levels, const ComputeDtypes& dtypes);

} // namespace mla_scale::compare
