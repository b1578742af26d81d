#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

/// Bytes as a regular file that lives in memory only, for readers that take a path.
class InputFile {
public:
  explicit InputFile(std::span<const std::uint8_t> bytes)
      : m_descriptor(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (m_descriptor < 0
        || ::write(m_descriptor, bytes.data(), bytes.size())
               != static_cast<ssize_t>(bytes.size())) {
      std::abort();
    }
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() { ::close(m_descriptor); }

  [[nodiscard]] std::filesystem::path path() const {
    return "/proc/self/fd/" + std::to_string(m_descriptor);
  }

private:
  int m_descriptor;
};
