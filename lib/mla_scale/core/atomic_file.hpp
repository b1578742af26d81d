#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/core/temporary_name.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace mla_scale {

/// A file that is written piece by piece under a temporary name in the same directory and takes its
/// own name at the end, so that no half-written file is ever seen. Dropped without commit() it
/// leaves nothing behind.
class AtomicFile {
public:
  /// Creates the temporary file with `size` bytes of zeros. A symbolic link at `path` keeps
  /// pointing where it did. Error: write, also when something other than a regular file stands
  /// there.
  [[nodiscard]] static Result<AtomicFile> create(const std::filesystem::path& path,
                                                 std::uint64_t size);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  /// Writes `bytes` at `offset`. Safe to call from several threads. Error: write.
  [[nodiscard]] Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;

  /// Flushes and renames. Error: write.
  [[nodiscard]] Result<void> commit();

private:
  AtomicFile() = default;
  [[nodiscard]] Error failure(int code) const;

  std::filesystem::path m_path; // as the caller named it
  std::filesystem::path m_target;
  std::filesystem::path m_temporary;
  TemporaryName m_registered;
  int m_descriptor = -1;
};

} // namespace mla_scale
