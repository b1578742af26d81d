#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/capture.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::tensor {

/// The files of a capture, merged by name but not yet understood.
struct CaptureFiles {
  std::vector<std::string> paths;
  std::vector<std::shared_ptr<const MappedFile>> mapped;
  std::vector<CaptureTensor> listing; ///< every tensor, in file order
  std::map<std::string, std::shared_ptr<const Tensor>, std::less<>> tensors; ///< by canonical name
  std::map<std::string, std::map<std::string, std::string>, std::less<>> metadata; ///< by file

  /// The tensor of that canonical name, or nullptr.
  [[nodiscard]] std::shared_ptr<const Tensor> find(std::string_view canonical) const;
  /// A metadata value: of `preferred_file` if it is there, else of any file.
  [[nodiscard]] std::optional<std::string> find_metadata(std::string_view key,
                                                         std::string_view preferred_file) const;
};

/// Opens all `paths`; a directory stands for its tensor files, sorted by name, not recursively. A
/// file given twice counts once. Errors: not_found for a missing path or a directory without tensor
/// files; schema when two tensors have the same name or the same meaning, naming both; those of
/// read_tensor_file.
[[nodiscard]] Result<CaptureFiles>
open_capture_files(const std::vector<std::filesystem::path>& paths);

/// The same for tensors that are in memory. Errors: schema, likewise.
[[nodiscard]] Result<CaptureFiles>
gather_tensors(std::vector<std::shared_ptr<const Tensor>> tensors);

} // namespace mla_scale::tensor
