#include <mla_scale/core/atomic_file.hpp>
#include <mla_scale/core/file.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <span>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mla_scale {
namespace {

/// A file descriptor that closes itself.
class Descriptor {
public:
  explicit Descriptor(int descriptor) : m_descriptor(descriptor) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (m_descriptor >= 0) {
      ::close(m_descriptor);
    }
  }
  [[nodiscard]] int get() const { return m_descriptor; }

private:
  int m_descriptor;
};

Error failure(ErrorKind kind, const std::filesystem::path& path, std::string message) {
  return Error{kind, std::move(message), path.string(), {}, {}};
}

Error system_failure(const std::filesystem::path& path, int code) {
  const bool missing = code == ENOENT || code == ENOTDIR;
  return failure(missing ? ErrorKind::not_found : ErrorKind::unreadable, path,
                 missing ? "no such file or directory" : std::strerror(code));
}

Result<std::string> read_up_to(const std::filesystem::path& path, std::size_t wanted,
                               std::size_t max_bytes) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) {
    return system_failure(path, errno);
  }
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) {
    return system_failure(path, errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return failure(ErrorKind::unreadable, path,
                   S_ISDIR(status.st_mode) ? "is a directory, not a file"
                                           : "is not a regular file");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > max_bytes) {
    return failure(
        ErrorKind::unreadable, path,
        fmt::format("has {} bytes, more than the {} that such a file may have", size, max_bytes));
  }
  std::string content(std::min(size, wanted), '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::read(file.get(), content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return system_failure(path, errno);
    }
    if (count == 0) {
      return failure(ErrorKind::unreadable, path, "became shorter while it was read");
    }
    done += static_cast<std::size_t>(count);
  }
  return content;
}

/// 0, or the errno of the write that failed.
int write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t count = ::write(descriptor, content.data(), content.size());
    if (count < 0 && errno != EINTR) {
      return errno;
    }
    content.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
  }
  return 0;
}

} // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  return read_up_to(path, max_bytes, max_bytes);
}

Result<std::string> read_file_head(const std::filesystem::path& path, std::size_t count) {
  return read_up_to(path, count, static_cast<std::size_t>(-1));
}

Result<std::string> read_stdin(std::size_t max_bytes) {
  std::string content;
  char buffer[65536];
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return failure(ErrorKind::unreadable, "-", std::strerror(errno));
    }
    if (count == 0) {
      return content;
    }
    content.append(buffer, static_cast<std::size_t>(count));
    if (content.size() > max_bytes) {
      return failure(ErrorKind::unreadable, "-",
                     fmt::format("standard input has more than {} bytes", max_bytes));
    }
  }
}

Result<void> write_file(const std::filesystem::path& path, std::string_view content) {
  // A device such as /dev/null stays what it is; a regular file is replaced in one step.
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored)) {
    // O_NONBLOCK: opening a FIFO must not wait for a reader; writing to one that is read may.
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    int code = file.get() < 0 || ::fcntl(file.get(), F_SETFL, O_WRONLY) != 0
                   ? errno
                   : write_all(file.get(), content);
    if (code == 0 && ::fsync(file.get()) != 0 && errno != EINVAL && errno != ENOSYS
        && errno != EROFS) {
      code = errno;
    }
    return code == 0 ? Result<void>()
                     : failure(ErrorKind::write, path,
                               fmt::format("cannot be written: {}", std::strerror(code)));
  }
  Result<AtomicFile> file = AtomicFile::create(path, content.size());
  if (!file) {
    return file.error();
  }
  if (Result<void> written = file->write_at(0, std::as_bytes(std::span(content))); !written) {
    return written;
  }
  return file->commit();
}

} // namespace mla_scale
