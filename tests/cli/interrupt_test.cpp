#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

#include <filesystem>

TEST_CASE("an interrupt ends the program with 130 and leaves no file behind", "[cli]") {
  const TempDir directory;
  // Far more than half a second of work; the signal comes while the file is written.
  const std::string command = std::string("exec timeout --preserve-status -s INT 0.5 '") + BINARY
                              + "' sample '" + PROJECT
                              + "/testdata/zoo/deepseek-ai--DeepSeek-V3' --seq-len 100000 --heads "
                                "16 -o big.safetensors";
  const ProcessResult result = run_process("/bin/sh", {"-c", command}, directory.path().string());
  CHECK(result.exit_code == 130);
  CHECK(std::filesystem::is_empty(directory.path()));
}
