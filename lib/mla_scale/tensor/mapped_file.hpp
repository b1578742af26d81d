#pragma once

#include <mla_scale/core/result.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace mla_scale::tensor {

/// A regular file, mapped read-only. Nothing is copied; pages are read when they are touched.
///
/// A file that another process shortens while it is mapped makes the system send SIGBUS on access;
/// check_unchanged() finds every other change of size or time.
class MappedFile {
public:
  /// Errors: not_found; unreadable for a directory, FIFO, socket or device (never opened for
  /// waiting) and for what the system refuses to map.
  [[nodiscard]] static Result<std::shared_ptr<const MappedFile>>
  open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return m_bytes; }
  [[nodiscard]] const std::filesystem::path& path() const { return m_path; }

  /// Error: unreadable when size or modification time differ from those at opening.
  [[nodiscard]] Result<void> check_unchanged() const;

private:
  MappedFile() = default;

  std::filesystem::path m_path;
  std::span<const std::byte> m_bytes;
  long long m_seconds = 0; // modification time at opening
  long m_nanoseconds = 0;
};

} // namespace mla_scale::tensor
