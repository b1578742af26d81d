// Golden tests of the real binary: each file in cases/ holds one command line and what it must
// print.
//
//   args: inspect testdata/zoo/deepseek-ai--DeepSeek-V3
//   env: COLUMNS=120          (optional, repeated)
//   stdin: testdata/...       (optional, a file)
//   exit: 0
//   --- stdout
//   ...
//   --- stderr
//   ...
//
// Paths are relative to the project. MLA_SCALE_BLESS=1 writes what the binary prints now; read the
// diff before you commit it.

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/text.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

namespace fs = std::filesystem;

struct Case {
  std::string args;
  std::map<std::string, std::string> environment{{"COLUMNS", "80"}};
  std::string stdin_file;
  int exit_code = 0;
  std::string out;
  std::string err;
};

Case read_case(const fs::path& path) {
  Case result;
  std::istringstream text(slurp(path));
  std::string* section = nullptr;
  for (std::string line; std::getline(text, line);) {
    const auto value = [&](const std::string& key) { return line.substr(key.size()); };
    if (line == "--- stdout") {
      section = &result.out;
    } else if (line == "--- stderr") {
      section = &result.err;
    } else if (section != nullptr) {
      *section += line + "\n";
    } else if (line.starts_with("args: ")) {
      result.args = value("args: ");
    } else if (line.starts_with("stdin: ")) {
      result.stdin_file = value("stdin: ");
    } else if (line.starts_with("exit: ")) {
      result.exit_code = std::stoi(value("exit: "));
    } else if (line.starts_with("env: ")) {
      const std::string pair = value("env: ");
      result.environment[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
    }
  }
  return result;
}

/// A section that does not end in a newline gets one, so that the case file stays a text file.
std::string as_section(std::string text) {
  if (!text.empty() && text.back() != '\n') {
    text += '\n';
  }
  return text;
}

void bless(const fs::path& path, const Case& golden, const ProcessResult& result) {
  std::ofstream file(path, std::ios::binary);
  file << "args: " << golden.args << "\n";
  for (const auto& [name, value] : golden.environment) {
    if (name != "COLUMNS" || value != "80") {
      file << "env: " << name << "=" << value << "\n";
    }
  }
  if (!golden.stdin_file.empty()) {
    file << "stdin: " << golden.stdin_file << "\n";
  }
  file << "exit: " << result.exit_code << "\n--- stdout\n"
       << as_section(result.out) << "--- stderr\n"
       << as_section(result.err);
}

std::vector<fs::path> case_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(CASES)) {
    if (entry.path().extension() == ".case") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

} // namespace

TEST_CASE("the binary prints what each golden case says", "[cli]") {
  const std::vector<fs::path> files = case_files();
  REQUIRE(!files.empty());
  for (const fs::path& path : files) {
    const Case golden = read_case(path);
    INFO("case " << path.filename().string() << ": mla-scale " << golden.args);
    const std::string input =
        golden.stdin_file.empty() ? "" : slurp(fs::path(PROJECT) / golden.stdin_file);
    const ProcessResult result =
        run_process(BINARY, split_arguments(golden.args), PROJECT, input, golden.environment);
    if (std::getenv("MLA_SCALE_BLESS") != nullptr) {
      bless(path, golden, result);
      continue;
    }
    CHECK(result.exit_code == golden.exit_code);
    CHECK(as_section(result.out) == golden.out);
    CHECK(as_section(result.err) == golden.err);
  }
}

TEST_CASE("each malformed input gives exit 3, nothing on standard output, and its one golden line",
          "[cli]") {
  const fs::path expected = fs::path(PROJECT) / "testdata/bad/expected.txt";
  std::istringstream lines(slurp(expected));
  std::string blessed;
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find('\t'));
    const std::string message =
        line.find('\t') == std::string::npos ? "" : line.substr(line.find('\t') + 1);
    INFO("testdata/bad/" << name);
    const ProcessResult result = run_process(BINARY, {"inspect", "testdata/bad/" + name}, PROJECT);
    blessed += name + "\t" + (result.err.empty() ? "\n" : result.err);
    ++count;
    CHECK(result.exit_code == 3);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    if (std::getenv("MLA_SCALE_BLESS") == nullptr) {
      CHECK(result.err == message + "\n");
    }
  }
  CHECK(count >= 30);
  if (std::getenv("MLA_SCALE_BLESS") != nullptr) {
    std::ofstream(expected, std::ios::binary) << blessed;
  }
}
