#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/mapped_file.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace mla_scale::tensor {

/// What stands before the data of an .npy file.
struct NpyHeader {
  std::string descr;          ///< NumPy's type string, for example "<f4"
  std::optional<Dtype> dtype; ///< nothing when it is none that this program reads
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::size_t element_size = 0; ///< in bytes; 0 when descr tells none
  std::size_t data_offset = 0;
};

/// Longest header that is read; NumPy itself refuses more than 10,000 bytes unless told otherwise.
inline constexpr std::size_t k_max_npy_header = 65536;

/// Bytes that are enough to read any header.
inline constexpr std::size_t k_npy_head = k_max_npy_header + 12;

/// Parses the header at the start of `head`, versions 1 to 3; the dict literal is parsed, never
/// evaluated. `head` may end anywhere after the header.
/// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
/// Errors: syntax; `path` and `name` are used in them only.
[[nodiscard]] Result<NpyHeader> parse_npy_header(std::span<const std::byte> head,
                                                 const std::string& path, const std::string& name);

/// Adds the array of a whole .npy text to `file` as a tensor, an unread tensor, or, for a single
/// string, as metadata. `owner` keeps `bytes` alive.
/// Errors: syntax when the data is shorter or longer than the shape requires.
[[nodiscard]] Result<void> add_npy(TensorFile& file, const std::string& name,
                                   std::span<const std::byte> bytes,
                                   std::shared_ptr<const void> owner);

/// An .npy file as a TensorFile of one tensor that has the file's name without extension.
[[nodiscard]] Result<TensorFile> read_npy(const std::shared_ptr<const MappedFile>& file);

} // namespace mla_scale::tensor
