#pragma once

#include "measure.hpp"

#include <filesystem>

/// `count` configs of one model in a temporary directory, each in a directory of its own; removed
/// with the object.
class ManyConfigs {
public:
  /// \throws std::filesystem::filesystem_error, std::runtime_error
  ManyConfigs(const std::filesystem::path& model, int count);
  ManyConfigs(const ManyConfigs&) = delete;
  ManyConfigs& operator=(const ManyConfigs&) = delete;
  ~ManyConfigs();

  [[nodiscard]] const std::filesystem::path& directory() const { return m_directory; }
  [[nodiscard]] int count() const { return m_count; }

private:
  std::filesystem::path m_directory;
  int m_count;
};

/// What inspecting many configs costs against only finding, reading and parsing them; with `tool`
/// not empty also the program's inspect and audit, reports and all.
[[nodiscard]] Group configs_group(const ManyConfigs& configs, unsigned threads,
                                  const std::filesystem::path& tool);

/// Starts of the program `tool`, against starts of /bin/true.
[[nodiscard]] Group startup_group(const std::filesystem::path& tool,
                                  const std::filesystem::path& model);
