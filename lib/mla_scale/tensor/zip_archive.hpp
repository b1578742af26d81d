#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/mapped_file.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::tensor {

/// One member of a zip archive.
struct ZipEntry {
  std::string name;
  bool stored = false; ///< not compressed: its bytes lie in the file as they are
  std::uint64_t size = 0;
  std::uint64_t compressed_size = 0;
  std::uint64_t header_offset = 0;
  std::uint32_t crc32 = 0; ///< of the bytes before compression
};

/// Bytes of an entry, and what keeps them alive.
struct ZipBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

/// A zip archive in a mapped file. Stored entries are used in place; deflated ones are decompressed
/// by zlib and their CRC is checked.
///
/// Against zip bombs the entries of one archive may inflate to 256 MiB in all, or to 32 times the
/// archive's size where that is more, but never above 8 GiB; no memory is taken before the declared
/// size was checked against this and against deflate's greatest ratio, 1032.
class ZipArchive {
public:
  /// Reads the central directory, zip64 included.
  /// Errors: syntax for what is no zip archive, is truncated, or has an entry outside the file, or
  /// two of one name; unsupported for encrypted entries, archives in several parts and more than
  /// 65536 entries.
  [[nodiscard]] static Result<ZipArchive> open(const std::shared_ptr<const MappedFile>& file);

  [[nodiscard]] const std::vector<ZipEntry>& entries() const { return m_entries; }
  /// The entry of that name, or nullptr.
  [[nodiscard]] const ZipEntry* find(std::string_view name) const;

  /// The bytes of an entry. Errors: syntax for corrupt data; unreadable above the limits;
  /// unsupported for compression other than deflate.
  [[nodiscard]] Result<ZipBytes> read(const ZipEntry& entry);

private:
  explicit ZipArchive(const std::shared_ptr<const MappedFile>& file) : m_file(file) {}
  [[nodiscard]] Error error(ErrorKind kind, std::string_view entry, std::string message) const;
  Result<void> read_directory();
  Result<ZipEntry> read_directory_entry(std::span<const std::byte> record) const;
  [[nodiscard]] Result<ZipBytes> inflate(const ZipEntry& entry,
                                         std::span<const std::byte> deflated);

  std::shared_ptr<const MappedFile> m_file;
  std::vector<ZipEntry> m_entries;
  std::uint64_t m_inflated = 0;
};

} // namespace mla_scale::tensor
