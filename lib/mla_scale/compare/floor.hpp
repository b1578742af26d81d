#pragma once

#include <mla_scale/compare/level.hpp>
#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/reference/problem.hpp>

#include <vector>

namespace mla_scale::compare {

/// Error of a simulated healthy kernel on one sampled row.
struct RowFloor {
  std::int64_t head = 0;
  std::int64_t row = 0;
  double out = 0.0; ///< |simulated out - exact out| / |exact out|
  double lse = 0.0; ///< absolute
};

/// Simulates a kernel of one level on exactly these inputs, in the problem's scale: the inputs as
/// they are, and the roundings of the level on the way. One RowFloor a sample, in order.
[[nodiscard]] std::vector<RowFloor> simulate_floor(const reference::Problem& problem,
                                                   const std::vector<RowSample>& samples,
                                                   Level level, const ComputeDtypes& dtypes);

/// As simulate_floor, but the outputs themselves: [samples][v_head_dim].
[[nodiscard]] std::vector<std::vector<double>>
simulate_outputs(const reference::Problem& problem, const std::vector<RowSample>& samples,
                 Level level, const ComputeDtypes& dtypes);

} // namespace mla_scale::compare
