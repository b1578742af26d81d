#pragma once

#include <filesystem>

namespace mla_scale {

/// Registers a temporary file while it is being written, so that remove_temporary_files() can
/// remove it. The file itself is the caller's: nothing is removed by the destructor.
class TemporaryName {
public:
  TemporaryName() = default;
  explicit TemporaryName(const std::filesystem::path& path);
  TemporaryName(TemporaryName&& other) noexcept;
  TemporaryName& operator=(TemporaryName&& other) noexcept;
  ~TemporaryName();

private:
  int m_slot = -1;
};

/// Removes every registered file. Only calls what a signal handler may; for one that ends the
/// program.
void remove_temporary_files() noexcept;

} // namespace mla_scale
