#include <mla_scale/tensor/npy.hpp>
#include <mla_scale/tensor/npz.hpp>
#include <mla_scale/tensor/safetensors.hpp>
#include <mla_scale/tensor/tensor_file.hpp>
#include <mla_scale/tensor/torch_zip.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace mla_scale::tensor {
namespace {

struct Format {
  std::string_view extension;
  Result<TensorFile> (*read)(const std::shared_ptr<const MappedFile>& file);
};

constexpr std::array<Format, 5> k_formats = {{
    {".safetensors", read_safetensors},
    {".npz", read_npz},
    {".npy", read_npy},
    {".pt", read_torch_zip},
    {".pth", read_torch_zip},
}};

const Format* find_format(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : static_cast<char>(c);
  });
  const auto* format =
      std::ranges::find(k_formats, std::string_view(extension), &Format::extension);
  return format == k_formats.end() ? nullptr : format;
}

} // namespace

bool is_tensor_file(const std::filesystem::path& path) {
  return find_format(path) != nullptr;
}

Result<TensorFile> read_tensor_file(const std::filesystem::path& path) {
  const Result<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (!file) {
    return file.error();
  }
  const Format* format = find_format(path);
  if (format == nullptr) {
    return Error{ErrorKind::unsupported,
                 "has no extension of a tensor file (.safetensors, .npz, .npy, .pt, .pth)",
                 path.string(),
                 {},
                 {}};
  }
  Result<TensorFile> read = format->read(*file);
  if (read) {
    read->mapped = *file;
  }
  return read;
}

} // namespace mla_scale::tensor
