#include <mla_scale/core/atomic_file.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace mla_scale {

Error AtomicFile::failure(int code) const {
  return Error{ErrorKind::write,
               fmt::format("cannot be written: {}", std::strerror(code)),
               m_path.string(),
               {},
               {}};
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path, std::uint64_t size) {
  AtomicFile file;
  file.m_path = path;
  std::error_code ignored;
  const std::filesystem::path resolved = std::filesystem::weakly_canonical(path, ignored);
  file.m_target = ignored ? path : resolved;
  if (std::filesystem::exists(file.m_target, ignored)
      && !std::filesystem::is_regular_file(file.m_target, ignored)) {
    return Error{
        ErrorKind::write, "cannot be written: it is no regular file", path.string(), {}, {}};
  }
  file.m_temporary = fmt::format("{}.{}.tmp", file.m_target.string(), ::getpid());
  file.m_registered = TemporaryName(file.m_temporary);
  file.m_descriptor =
      ::open(file.m_temporary.c_str(), O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0666);
  if (file.m_descriptor < 0) {
    return file.failure(errno);
  }
  if (size > static_cast<std::uint64_t>(INT64_MAX)
      || ::ftruncate(file.m_descriptor, static_cast<off_t>(size)) != 0) {
    return file.failure(size > static_cast<std::uint64_t>(INT64_MAX) ? EFBIG : errno);
  }
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : m_path(std::move(other.m_path)), m_target(std::move(other.m_target)),
      m_temporary(std::move(other.m_temporary)), m_registered(std::move(other.m_registered)),
      m_descriptor(std::exchange(other.m_descriptor, -1)) {}

AtomicFile::~AtomicFile() {
  if (m_descriptor >= 0) {
    ::close(m_descriptor);
    ::unlink(m_temporary.c_str());
  }
}

Result<void> AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(m_descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) {
      return failure(errno);
    }
    const auto done = static_cast<std::size_t>(count < 0 ? 0 : count);
    bytes = bytes.subspan(done);
    offset += done;
  }
  return {};
}

Result<void> AtomicFile::commit() {
  if (::fsync(m_descriptor) != 0 && errno != EINVAL && errno != ENOSYS && errno != EROFS) {
    return failure(errno);
  }
  if (::rename(m_temporary.c_str(), m_target.c_str()) != 0) {
    return failure(errno);
  }
  ::close(std::exchange(m_descriptor, -1));
  return {};
}

} // namespace mla_scale
