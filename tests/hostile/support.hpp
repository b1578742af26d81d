#pragma once

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

/// Tests of the real binary in a world that means it harm.
namespace hostile {

namespace fs = std::filesystem;

inline const std::string k_model =
    std::string(PROJECT) + "/testdata/zoo/deepseek-ai--DeepSeek-V2-Lite";

/// Runs a line of shell, in which $MLA is the binary and $MODEL a model. 124 when it hung.
inline ProcessResult shell(const fs::path& directory, const std::string& line) {
  return run_process("/usr/bin/timeout", {"300", "/bin/sh", "-c", line}, directory.string(), {},
                     {{"MLA", BINARY}, {"MODEL", k_model}, {"COLUMNS", "80"}});
}

inline void write(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

inline std::ptrdiff_t line_count(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

/// An input that cannot be read: exit 3 and one line that says why.
inline void check_refused(const ProcessResult& result, const std::string& says) {
  CHECK(result.exit_code == 3);
  CHECK(line_count(result.err) == 1);
  INFO(result.err);
  CHECK(result.err.find(says) != std::string::npos);
}

} // namespace hostile
