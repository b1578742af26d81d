#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/mapped_file.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

#include <memory>

namespace mla_scale::tensor {

/// Largest JSON header that is read. The format allows 100 MB; four hold some 40,000 tensors and
/// bound the memory of a hostile header.
inline constexpr std::size_t k_max_safetensors_header = std::size_t{4} << 20;

/// Reads the safetensors format: u64 little-endian header length, JSON header, data.
///
/// Checked: the header fits the file, every `data_offsets` lies inside the data, begin <= end,
/// ranges neither overlap nor leave a hole, shape times element size equals the range without
/// overflow, no name stands twice, `__metadata__` holds strings only. Source:
/// https://github.com/huggingface/safetensors (README.md, "Format"). Errors: syntax naming the
/// tensor.
[[nodiscard]] Result<TensorFile> read_safetensors(const std::shared_ptr<const MappedFile>& file);

} // namespace mla_scale::tensor
