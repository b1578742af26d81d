// Every exit code of the contract, each from the run that a user would meet it in. 0 to 4 are of
// the program itself; 70 needs a bug, so a program with one is built around the same main.

#include "support.hpp"
#include "support/sanitizer.hpp"

using namespace hostile;

namespace {

ProcessResult buggy(const std::string& how) {
  const TempDir directory;
  return run_process(BUGGY, {how}, directory.path().string());
}

} // namespace

TEST_CASE("the exit code says what happened", "[hostile]") {
  const TempDir directory;
  const auto code = [&](const std::string& arguments) {
    return shell(directory.path(), "exec \"$MLA\" " + arguments).exit_code;
  };
  CHECK(code("inspect \"$MODEL\"") == 0);
  CHECK(code("audit \"$MODEL\" --fail-on note") == 1);
  CHECK(code("inspect \"$MODEL\" --no-such-option") == 2);
  CHECK(code("inspect no-such-file") == 3);
  // q without the out that it would be held against.
  const std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 16, 192), }";
  std::string npy = std::string("\x93NUMPY\x01\0\0\0", 10) + dict + std::string(16 * 192 * 4, '\0');
  npy[8] = static_cast<char>(dict.size());
  write(directory / "q.npy", npy);
  CHECK(code("check \"$MODEL\" q.npy") == 4);
}

TEST_CASE("a bug of the program ends with 70 and one line that asks to report it", "[hostile]") {
  std::vector<const char*> ways = {"exception", "unknown", "abort", "terminate"};
  if (!k_sanitized) {
    ways.insert(ways.end(), {"segmentation", "overflow"});
  }
  for (const char* how : ways) {
    const ProcessResult result = buggy(how);
    INFO(how << ": " << result.err);
    CHECK(result.exit_code == 70);
    CHECK(result.err.find("mla-scale: bug: ") != std::string::npos);
  }
}
