#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/shell_session.hpp"
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

TEST_CASE("long work shows a bar with rate and remaining time on a terminal, and erases it",
          "[cli]") {
  if (!has_terminals()) {
    WARN("there are no pseudo-terminals here");
    return;
  }
  const TempDir directory;
  // Seconds of work, interrupted long before its end; on the terminal both streams meet.
  const std::string printed =
      type_into({"timeout", "--foreground", "-s", "INT", "4", BINARY, "sample",
                 std::string(PROJECT) + "/testdata/zoo/deepseek-ai--DeepSeek-V3", "--seq-len",
                 "100000", "--heads", "16", "-o", "big.safetensors"},
                {}, directory.path().string(), {});
  INFO(printed);
  const std::size_t bar = printed.find("\r[");
  REQUIRE(bar != std::string::npos);
  const std::string line = printed.substr(bar, printed.find("\x1B[K", bar) - bar);
  CHECK(line.find("/100k rows  ") != std::string::npos);
  CHECK(line.find("/s  ") != std::string::npos);
  CHECK(line.ends_with(" s left"));
  CHECK(printed.ends_with("\r\x1B[K"));
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("there is no bar where standard error is no terminal", "[cli]") {
  const TempDir directory;
  const std::string command = std::string("exec timeout -s INT 3 '") + BINARY + "' sample '"
                              + PROJECT
                              + "/testdata/zoo/deepseek-ai--DeepSeek-V3' --seq-len 100000 --heads "
                                "16 -o big.safetensors";
  CHECK(run_process("/bin/sh", {"-c", command}, directory.path().string()).err.empty());
}
