#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/mapped_file.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

#include <memory>

namespace mla_scale::tensor {

/// An .npz file: a zip archive of .npy files, whose names without .npy are the tensors'. Arrays of
/// numpy.savez stay mapped, those of numpy.savez_compressed are inflated under ZipArchive's limits.
/// Errors: those of ZipArchive and parse_npy_header.
[[nodiscard]] Result<TensorFile> read_npz(const std::shared_ptr<const MappedFile>& file);

} // namespace mla_scale::tensor
