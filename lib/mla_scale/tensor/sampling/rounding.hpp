#pragma once

#include <mla_scale/tensor/dtype.hpp>

#include <cstddef>

namespace mla_scale::tensor::sampling {

/// The nearest number that `dtype` (bf16, f16 or f32) holds, ties to even, rounded once from
/// double. Beyond its range an infinity.
[[nodiscard]] double round_to(Dtype dtype, double value);

/// Stores a number that round_to returned, little endian. Returns the bytes written.
std::size_t store(Dtype dtype, double rounded, std::byte* to);

} // namespace mla_scale::tensor::sampling
