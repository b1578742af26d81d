#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::tensor {

/// A dense tensor, last dimension fastest, over `bytes` in memory, little endian. They are not
/// copied: keep them, or hand over in `owner` what keeps them.
/// Errors: schema when `shape` and `bytes` do not have the same size.
[[nodiscard]] Result<std::shared_ptr<const Tensor>>
tensor_in_memory(std::string name, Dtype dtype, std::vector<std::int64_t> shape,
                 std::span<const std::byte> bytes, std::shared_ptr<const void> owner = nullptr);

} // namespace mla_scale::tensor
