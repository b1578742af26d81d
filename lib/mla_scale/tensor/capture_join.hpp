#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/tensor.hpp>

namespace mla_scale::tensor {

/// A copy of two views side by side, for a q that came as q_nope and q_pe: [tokens, heads, left
/// width + right width] in the dtype of both. \pre equal tokens and heads. Error: schema when the
/// dtypes differ.
[[nodiscard]] Result<View3> join_columns(const View3& left, const View3& right);

} // namespace mla_scale::tensor
