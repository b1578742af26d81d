#pragma once

#include <mla_scale/tensor/tensor.hpp>

#include <cstdint>
#include <optional>
#include <span>

namespace mla_scale::tensor {

/// How a scale tensor of shape `scale` covers `tensor`: axis by axis one factor for all, one for
/// each index, or one for each block of them (ceil(extent / block) factors, with the block sizes
/// that engines use; 128 where the extents leave it open). Missing axes are the last ones ([T] and
/// [T, H] of [T, H, D]), or those of tokens and columns ([B, H] of [B, T, H, D], FlashAttention-3's
/// descale). `values` is left empty. Nothing when the shapes do not fit.
[[nodiscard]] std::optional<BlockFactors>
find_blocks(const Tensor& tensor, std::span<const std::int64_t> scale, std::int64_t heads);

} // namespace mla_scale::tensor
