#pragma once

#include "support/catch.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

/// Small capture files, built byte by byte so that no code under test is needed to write them.
namespace capture_files {

/// The same small capture in each format; testdata/captures/formats/make.py has the formula of its
/// values.
inline const std::filesystem::path k_formats = std::filesystem::path(TESTDATA) / "captures/formats";
inline constexpr mla_scale::tensor::Geometry k_tiny = {2, 8, 4, 2, 3};

#if __has_include(<catch2/catch_all.hpp>)
inline auto Contains(const std::string& text) {
  return Catch::Matchers::ContainsSubstring(text);
}
#else
using Catch::Matchers::Contains;
#endif

/// Without fsync, unlike the library's: tests write tens of thousands of files.
inline void write(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  REQUIRE(file.good());
}

inline std::string little_endian(std::uint64_t value, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) {
    bytes += i < 8 ? static_cast<char>(value >> (8 * i) & 0xFF) : '\0';
  }
  return bytes;
}

inline std::string with_header(const std::string& header, const std::string& data) {
  return little_endian(header.size(), 8) + header + data;
}

/// One tensor of a safetensors file; an empty data means zeros of the right size.
struct Entry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string data;
};

inline std::string safetensors(const std::vector<Entry>& entries,
                               const std::string& metadata = {}) {
  std::string header = metadata.empty() ? "{" : "{\"__metadata__\":" + metadata + ",";
  std::string data;
  for (const Entry& entry : entries) {
    std::int64_t count = 1;
    std::string shape;
    for (const std::int64_t extent : entry.shape) {
      count *= extent;
      shape += (shape.empty() ? "" : ",") + std::to_string(extent);
    }
    const std::size_t size = entry.dtype == "F32" || entry.dtype == "I32" ? 4
                             : entry.dtype == "I64"                       ? 8
                             : entry.dtype == "F8_E4M3"                   ? 1
                                                                          : 2;
    const std::size_t begin = data.size();
    data +=
        entry.data.empty() ? std::string(static_cast<std::size_t>(count) * size, '\0') : entry.data;
    header += (header.back() == '{' || header.back() == ',' ? "" : ",") + ("\"" + entry.name)
              + "\":{\"dtype\":\"" + entry.dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":["
              + std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
  }
  return with_header(header + "}", data);
}

inline std::string f32(const std::vector<float>& values) {
  std::string bytes(values.size() * 4, '\0');
  if (!values.empty()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  }
  return bytes;
}

inline std::string i64(const std::vector<std::int64_t>& values) {
  std::string bytes(values.size() * 8, '\0');
  if (!values.empty()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  }
  return bytes;
}

/// 0, 1, 2, ... as float32.
inline std::string counting(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i);
  }
  return f32(values);
}

/// A zip archive of stored entries; CRCs are left 0, which readers of stored data do not look at.
inline std::string stored_zip(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string bytes;
  std::string directory;
  for (const auto& [name, data] : entries) {
    const std::string sizes = little_endian(0, 4) + little_endian(data.size(), 4)
                              + little_endian(data.size(), 4) + little_endian(name.size(), 2);
    directory += little_endian(0x02014B50, 4) + little_endian(20, 2) + little_endian(20, 2)
                 + little_endian(0, 8) + sizes + little_endian(0, 2 + 2 + 2 + 2 + 4)
                 + little_endian(bytes.size(), 4) + name;
    bytes += little_endian(0x04034B50, 4) + little_endian(20, 2) + little_endian(0, 8) + sizes
             + little_endian(0, 2) + name + data;
  }
  return bytes + directory + little_endian(0x06054B50, 4) + little_endian(0, 4)
         + little_endian(entries.size(), 2) + little_endian(entries.size(), 2)
         + little_endian(directory.size(), 4) + little_endian(bytes.size(), 4)
         + little_endian(0, 2);
}

/// Writes `content` to `directory`/`name` and reads it as a capture.
inline mla_scale::Result<mla_scale::tensor::Capture>
read(const TempDir& directory, const std::string& name, const std::string& content,
     const mla_scale::tensor::Geometry& geometry, const std::string& layout = {}) {
  write(directory / name, content);
  return mla_scale::tensor::read_capture({directory / name}, geometry, {layout});
}

} // namespace capture_files
