#include <mla_scale/tensor/mapped_file.hpp>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mla_scale::tensor {
namespace {

Error failure(const std::filesystem::path& path, ErrorKind kind, std::string message) {
  return Error{kind, std::move(message), path.string(), {}, {}};
}

Error system_failure(const std::filesystem::path& path, int code) {
  const bool missing = code == ENOENT || code == ENOTDIR;
  return missing ? failure(path, ErrorKind::not_found, "no such file or directory")
                 : failure(path, ErrorKind::unreadable, std::strerror(code));
}

} // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    return system_failure(path, errno);
  }
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->m_path = path;
  struct stat status = {};
  int code = ::fstat(descriptor, &status) == 0 ? 0 : errno;
  void* start = nullptr;
  const auto size = static_cast<std::size_t>(status.st_size);
  if (code == 0 && S_ISREG(status.st_mode) && size > 0) {
    start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    code = start == MAP_FAILED ? errno : 0;
  }
  ::close(descriptor);
  if (code != 0) {
    return system_failure(path, code);
  }
  if (!S_ISREG(status.st_mode)) {
    return failure(path, ErrorKind::unreadable,
                   S_ISDIR(status.st_mode) ? "is a directory, not a file"
                                           : "is not a regular file");
  }
  file->m_bytes = {static_cast<const std::byte*>(start), size};
  file->m_seconds = status.st_mtim.tv_sec;
  file->m_nanoseconds = status.st_mtim.tv_nsec;
  return std::shared_ptr<const MappedFile>(std::move(file));
}

MappedFile::~MappedFile() {
  if (!m_bytes.empty()) {
    ::munmap(const_cast<std::byte*>(m_bytes.data()), m_bytes.size());
  }
}

Result<void> MappedFile::check_unchanged() const {
  struct stat status = {};
  if (::stat(m_path.c_str(), &status) != 0) {
    return system_failure(m_path, errno);
  }
  if (static_cast<std::size_t>(status.st_size) != m_bytes.size()
      || status.st_mtim.tv_sec != m_seconds || status.st_mtim.tv_nsec != m_nanoseconds) {
    return failure(m_path, ErrorKind::unreadable, "changed while it was read");
  }
  return {};
}

} // namespace mla_scale::tensor
