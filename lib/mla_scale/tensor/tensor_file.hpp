#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/mapped_file.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mla_scale::tensor {

/// A tensor that is well formed but of an element type that this program does not read.
struct UnreadTensor {
  std::string name;
  std::string dtype; ///< in the file's own words
  std::vector<std::int64_t> shape;
};

/// What one capture file holds.
struct TensorFile {
  std::filesystem::path path;
  std::shared_ptr<const MappedFile> mapped; ///< the file itself, for check_unchanged()
  std::vector<std::shared_ptr<const Tensor>> tensors;
  std::vector<UnreadTensor> unread;
  std::map<std::string, std::string>
      metadata; ///< strings and numbers that stand beside the tensors
};

/// True for the extensions that read_tensor_file knows: .safetensors .npz .npy .pt .pth.
[[nodiscard]] bool is_tensor_file(const std::filesystem::path& path);

/// Reads the names, types and places of all tensors of a file; the values stay mapped where the
/// format allows it. The format is told from the extension.
///
/// Guarantees that every index inside a tensor's shape addresses bytes inside its buffer. Memory is
/// bounded by the limits named in each reader, never by a size that the file merely declares.
/// Errors: not_found, unreadable, syntax, unsupported; `pointer` names the tensor.
[[nodiscard]] Result<TensorFile> read_tensor_file(const std::filesystem::path& path);

} // namespace mla_scale::tensor
