#include "element.hpp"

#include <mla_scale/tensor/zip_archive.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include <zlib.h>

namespace mla_scale::tensor {
namespace {

constexpr std::uint64_t k_inflate_floor = std::uint64_t{256} << 20;
constexpr std::uint64_t k_inflate_ceiling = std::uint64_t{8} << 30;
constexpr std::uint64_t k_inflate_ratio = 32;
constexpr std::uint64_t k_deflate_ratio = 1032; // RFC 1951: 258 bytes from 2 bits
constexpr std::uint64_t k_max_entries = 65536;

constexpr std::size_t k_end_size = 22; // end of central directory, without its comment
constexpr std::size_t k_locator_size = 20;
constexpr std::size_t k_end64_size = 56;
constexpr std::size_t k_record_size = 46; // central directory entry, without name, extra, comment
constexpr std::size_t k_local_size = 30;
constexpr std::uint16_t k_deflated = 8;

// PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16.
constexpr std::uint32_t k_local_magic = 0x04034B50;
constexpr std::uint32_t k_record_magic = 0x02014B50;
constexpr std::uint32_t k_end_magic = 0x06054B50;
constexpr std::uint32_t k_locator_magic = 0x07064B50;
constexpr std::uint32_t k_end64_magic = 0x06064B50;

using Bytes = std::span<const std::byte>;

std::uint16_t u16(Bytes bytes, std::size_t at) {
  return load_bits<std::uint16_t>(bytes.data() + at, false);
}
std::uint32_t u32(Bytes bytes, std::size_t at) {
  return load_bits<std::uint32_t>(bytes.data() + at, false);
}
std::uint64_t u64(Bytes bytes, std::size_t at) {
  return load_bits<std::uint64_t>(bytes.data() + at, false);
}

/// Where the central directory lies.
struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t count = 0;
};

std::optional<std::size_t> find_end(Bytes bytes) {
  if (bytes.size() < k_end_size) {
    return std::nullopt;
  }
  const std::size_t last = bytes.size() - k_end_size;
  const std::size_t first = last > 0xFFFF ? last - 0xFFFF : 0;
  for (std::size_t at = last + 1; at-- > first;) {
    if (u32(bytes, at) == k_end_magic && at + k_end_size + u16(bytes, at + 20) == bytes.size()) {
      return at;
    }
  }
  return std::nullopt;
}

std::optional<Directory> find_directory(Bytes bytes) {
  const std::optional<std::size_t> end = find_end(bytes);
  if (!end) {
    return std::nullopt;
  }
  Directory directory = {u32(bytes, *end + 16), u32(bytes, *end + 12), u16(bytes, *end + 10)};
  if (*end >= k_locator_size && u32(bytes, *end - k_locator_size) == k_locator_magic) {
    const std::uint64_t at = u64(bytes, *end - k_locator_size + 8);
    if (bytes.size() < k_end64_size || at > bytes.size() - k_end64_size
        || u32(bytes, at) != k_end64_magic) {
      return std::nullopt;
    }
    const auto end64 = at;
    directory = {u64(bytes, end64 + 48), u64(bytes, end64 + 40), u64(bytes, end64 + 32)};
  }
  if (directory.offset > bytes.size() || directory.size > bytes.size() - directory.offset) {
    return std::nullopt;
  }
  return directory;
}

/// The values of a zip64 extra field that replace 32-bit ones, in order.
std::vector<std::uint64_t> zip64_values(Bytes extra) {
  std::vector<std::uint64_t> values;
  while (extra.size() >= 4) {
    const std::size_t size = u16(extra, 2);
    if (size > extra.size() - 4) {
      break;
    }
    if (u16(extra, 0) == 1) {
      for (std::size_t at = 0; at + 8 <= size; at += 8) {
        values.push_back(u64(extra, 4 + at));
      }
    }
    extra = extra.subspan(4 + size);
  }
  return values;
}

/// Inflates raw deflate data; false when it is corrupt, ends early, or does not fill `to` exactly.
bool inflate_raw(Bytes from, std::span<std::byte> to) {
  constexpr std::size_t k_most = std::size_t{1} << 30U; // zlib counts in 32 bits
  z_stream stream = {};
  if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
    return false;
  }
  int status = Z_OK;
  std::byte beyond{}; // a place for a byte too many, so that it is noticed
  std::size_t written = 0;
  while (status == Z_OK) {
    const std::size_t given = std::min(from.size(), k_most);
    const std::size_t room = std::min(to.size() - written, k_most);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(from.data()));
    stream.avail_in = static_cast<uInt>(given);
    stream.next_out = reinterpret_cast<Bytef*>(room > 0 ? to.data() + written : &beyond);
    stream.avail_out = static_cast<uInt>(room > 0 ? room : 1);
    status = ::inflate(&stream, Z_NO_FLUSH);
    from = from.subspan(given - stream.avail_in);
    if (room == 0 && stream.avail_out == 0) {
      status = Z_DATA_ERROR;
    }
    written += room > 0 ? room - stream.avail_out : 0;
  }
  ::inflateEnd(&stream);
  return status == Z_STREAM_END && written == to.size();
}

std::uint32_t crc_of(Bytes bytes) {
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

} // namespace

Error ZipArchive::error(ErrorKind kind, std::string_view entry, std::string message) const {
  return Error{kind, std::move(message), m_file->path().string(), std::string(entry), {}};
}

Result<ZipArchive> ZipArchive::open(const std::shared_ptr<const MappedFile>& file) {
  ZipArchive archive(file);
  if (const Result<void> read = archive.read_directory(); !read) {
    return read.error();
  }
  return archive;
}

Result<void> ZipArchive::read_directory() {
  const Bytes bytes = m_file->bytes();
  const std::optional<Directory> directory = find_directory(bytes);
  if (!directory) {
    return error(ErrorKind::syntax, {}, "is no zip archive, or is truncated");
  }
  if (directory->count > k_max_entries) {
    return error(
        ErrorKind::unsupported, {},
        fmt::format("holds {} zip entries; at most {} are read", directory->count, k_max_entries));
  }
  Bytes rest = bytes.subspan(directory->offset, directory->size);
  std::set<std::string, std::less<>> names;
  for (std::uint64_t i = 0; i < directory->count; ++i) {
    if (rest.size() < k_record_size || u32(rest, 0) != k_record_magic) {
      return error(ErrorKind::syntax, {}, "its zip directory is corrupt");
    }
    const std::size_t size = k_record_size + u16(rest, 28) + u16(rest, 30) + u16(rest, 32);
    if (size > rest.size()) {
      return error(ErrorKind::syntax, {}, "its zip directory is corrupt");
    }
    Result<ZipEntry> entry = read_directory_entry(rest.first(size));
    if (!entry) {
      return entry.error();
    }
    if (!names.insert(entry->name).second) {
      return error(ErrorKind::syntax, entry->name, "stands twice in this zip archive");
    }
    m_entries.push_back(std::move(*entry));
    rest = rest.subspan(size);
  }
  return {};
}

Result<ZipEntry> ZipArchive::read_directory_entry(Bytes record) const {
  ZipEntry entry;
  const std::size_t name_size = u16(record, 28);
  entry.name.assign(reinterpret_cast<const char*>(record.data()) + k_record_size, name_size);
  entry.crc32 = u32(record, 16);
  entry.compressed_size = u32(record, 20);
  entry.size = u32(record, 24);
  entry.header_offset = u32(record, 42);
  const std::vector<std::uint64_t> wide =
      zip64_values(record.subspan(k_record_size + name_size, u16(record, 30)));
  std::size_t used = 0;
  for (std::uint64_t* value : {&entry.size, &entry.compressed_size, &entry.header_offset}) {
    if (*value == 0xFFFFFFFF && used < wide.size()) {
      *value = wide[used++];
    }
  }
  const std::uint16_t method = u16(record, 10);
  entry.stored = method == 0;
  if ((u16(record, 8) & 1U) != 0) {
    return error(ErrorKind::unsupported, entry.name, "is encrypted");
  }
  if (method != 0 && method != k_deflated) {
    return error(
        ErrorKind::unsupported, entry.name,
        fmt::format("is compressed by method {}; stored and deflated entries are read", method));
  }
  const std::uint64_t size = m_file->bytes().size();
  if (entry.header_offset > size || entry.compressed_size > size - entry.header_offset) {
    return error(ErrorKind::syntax, entry.name, "lies outside of the file");
  }
  if (entry.stored && entry.size != entry.compressed_size) {
    return error(
        ErrorKind::syntax, entry.name,
        fmt::format("is stored but declares {} bytes for {}", entry.size, entry.compressed_size));
  }
  return entry;
}

const ZipEntry* ZipArchive::find(std::string_view name) const {
  const auto entry = std::ranges::find(m_entries, name, &ZipEntry::name);
  return entry == m_entries.end() ? nullptr : &*entry;
}

Result<ZipBytes> ZipArchive::read(const ZipEntry& entry) {
  const Bytes rest = m_file->bytes().subspan(entry.header_offset);
  if (rest.size() < k_local_size || u32(rest, 0) != k_local_magic) {
    return error(ErrorKind::syntax, entry.name, "has no local zip header");
  }
  const std::size_t begin = k_local_size + u16(rest, 26) + u16(rest, 28);
  if (begin > rest.size() || entry.compressed_size > rest.size() - begin) {
    return error(ErrorKind::syntax, entry.name, "reaches past the end of the file");
  }
  if (u16(rest, 8) != (entry.stored ? 0 : k_deflated)) {
    return error(ErrorKind::syntax, entry.name, "its zip headers contradict each other");
  }
  const Bytes bytes = rest.subspan(begin, entry.compressed_size);
  return entry.stored ? ZipBytes{bytes, m_file} : inflate(entry, bytes);
}

Result<ZipBytes> ZipArchive::inflate(const ZipEntry& entry, std::span<const std::byte> deflated) {
  const std::uint64_t file_size = m_file->bytes().size();
  const std::uint64_t budget =
      std::clamp(file_size * k_inflate_ratio, k_inflate_floor, k_inflate_ceiling);
  if (entry.size / k_deflate_ratio > entry.compressed_size) {
    return error(ErrorKind::syntax, entry.name,
                 fmt::format("declares {} bytes, which {} deflated bytes cannot hold", entry.size,
                             entry.compressed_size));
  }
  if (entry.size > budget - m_inflated) {
    return error(
        ErrorKind::unreadable, entry.name,
        fmt::format("inflates this archive to more than {} bytes: save it uncompressed", budget));
  }
  const auto size = entry.size;
  const std::shared_ptr<std::byte[]> buffer(
      new std::byte[size]); // untouched: only what is read costs
  if (!inflate_raw(deflated, {buffer.get(), size})) {
    return error(ErrorKind::syntax, entry.name,
                 fmt::format("its deflated data is corrupt or is not of {} bytes", size));
  }
  if (crc_of({buffer.get(), size}) != entry.crc32) {
    return error(ErrorKind::syntax, entry.name, "its bytes do not have the checksum declared");
  }
  m_inflated += entry.size;
  return ZipBytes{Bytes(buffer.get(), size), buffer};
}

} // namespace mla_scale::tensor
