// What the program says about itself: help and the manual page, held against what it does.

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/shell_session.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

namespace fs = std::filesystem;

/// As the main help lists them.
std::vector<std::string> commands() {
  std::vector<std::string> names;
  bool inside = false;
  for (const std::string& line : lines_of(run_process(BINARY, {"--help"}, PROJECT).out)) {
    inside = line == "Commands:" || (inside && !line.empty());
    if (inside && line.starts_with("  ") && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

/// The lines to type below "Examples:" of a help text.
std::vector<std::string> examples_of(const std::string& help) {
  std::vector<std::string> examples;
  bool inside = false;
  for (const std::string& line : lines_of(help)) {
    inside = line == "Examples:" || (inside && line.starts_with("  "));
    if (inside && line.starts_with("  ") && line[2] != ' ') {
      examples.push_back(line.substr(2));
    }
  }
  return examples;
}

/// One safetensors file: header, then data.
void write_safetensors(const fs::path& path, std::string header, const std::string& data) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string size(8, '\0');
  for (std::size_t i = 0; i < size.size(); ++i) {
    size[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  }
  std::ofstream(path, std::ios::binary) << size << header << data;
}

/// A capture of attn_output, key_states, query_states and value_states as two files, inputs and
/// output.
void write_halves(const fs::path& capture, const TempDir& dir) {
  std::ifstream file(capture, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  const std::string data = content.str().substr(content.str().size() - 245760);
  write_safetensors(
      dir / "out.safetensors",
      R"({"attn_output":{"dtype":"BF16","shape":[1,96,2,128],"data_offsets":[0,49152]}})",
      data.substr(0, 49152));
  write_safetensors(
      dir / "inputs.safetensors",
      R"({"key_states":{"dtype":"BF16","shape":[1,2,96,192],"data_offsets":[0,73728]},)"
      R"("query_states":{"dtype":"BF16","shape":[1,2,96,192],"data_offsets":[73728,147456]},)"
      R"("value_states":{"dtype":"BF16","shape":[1,2,96,128],"data_offsets":[147456,196608]}})",
      data.substr(49152));
}

/// The files that examples speak of.
void furnish(const TempDir& dir) {
  const fs::path testdata = fs::path(PROJECT) / "testdata";
  const fs::path model = testdata / "zoo/deepseek-ai--DeepSeek-V3";
  const fs::path capture = testdata / "captures/transformers/v3_flash_bf16.safetensors";
  fs::create_directory(dir / "models");
  fs::create_directory_symlink(model, dir / "models/DeepSeek-V3");
  fs::copy_file(model / "config.json", dir / "config.json");
  fs::copy_file(capture, dir / "dump.safetensors");
  fs::create_directories(dir / "dumps/layer0");
  fs::copy_file(capture, dir / "dumps/layer0/dump.safetensors");
  write_halves(capture, dir);
  for (const char* directory : {".zfunc", ".config/fish/completions"}) {
    fs::create_directories(dir / directory);
  }
}

} // namespace

TEST_CASE("every --help has examples, and no line of them or of it is wider than 80 columns",
          "[cli][help]") {
  CHECK(examples_of(run_process(BINARY, {"--help"}, PROJECT).out).size() >= 2);
  for (const std::string& command : commands()) {
    INFO(command);
    const ProcessResult help = run_process(BINARY, {command, "--help"}, PROJECT);
    CHECK(help.exit_code == 0);
    CHECK(examples_of(help.out).size() >= 2);
    for (const std::string& line : lines_of(help.out)) {
      CHECK(line.size() <= 80);
    }
  }
}

TEST_CASE("every example in the help runs as it is written", "[cli][help]") {
  const TempDir dir;
  furnish(dir);
  const std::string path =
      fs::path(BINARY).parent_path().string() + ":" + std::string(std::getenv("PATH"));
  const auto run = [&](const std::string& line) {
    return run_process("/bin/bash", {"-c", "set -o pipefail; " + line}, dir.path().string(), "",
                       {{"PATH", path}, {"HOME", dir.path().string()}});
  };
  std::vector<std::string> all = commands();
  REQUIRE(all.size() >= 7);
  all.emplace_back(); // the program's own
  for (const std::string& command : all) {
    const std::string help = run("mla-scale " + command + " --help").out;
    for (const std::string& example : examples_of(help)) {
      if (example.find("| man ") != std::string::npos && !is_installed("man")) {
        continue;
      }
      INFO(example);
      const ProcessResult result = run(example);
      INFO(result.err);
      // audit finds something in every published model when warnings count
      CHECK((result.exit_code == 0
             || (result.exit_code == 1 && example.find("--fail-on") != std::string::npos)));
    }
  }
}

TEST_CASE("the manual page is roff without warnings and names every command, option and exit code",
          "[cli][help]") {
  const TempDir dir;
  const fs::path page = dir / "mla-scale.1";
  const ProcessResult printed = run_process(BINARY, {"explain", "man"}, PROJECT);
  REQUIRE(printed.exit_code == 0);
  std::ofstream(page) << printed.out;
  for (const std::string& command : commands()) {
    CHECK(printed.out.find(".SS \\fBmla\\-scale " + command) != std::string::npos);
    for (const std::string& line :
         lines_of(run_process(BINARY, {command, "--help"}, PROJECT).out)) {
      const std::size_t option = line.starts_with("  -") ? line.find("--") : std::string::npos;
      if (option != std::string::npos) {
        std::string name = line.substr(option + 2, line.find(' ', option) - option - 2);
        for (std::size_t dash = 0; (dash = name.find('-', dash)) != std::string::npos; dash += 2) {
          name.insert(dash, "\\");
        }
        INFO(command << " " << name);
        CHECK(printed.out.find("\\fB\\-\\-" + name + "\\fR") != std::string::npos);
      }
    }
  }
  for (const char* code : {"0", "1", "2", "3", "4", "70"}) {
    CHECK(printed.out.find("\\fB" + std::string(code) + "\\fR") != std::string::npos);
  }
  if (is_installed("groff")) {
    const ProcessResult groff =
        run_process("/usr/bin/env", {"groff", "-man", "-Tutf8", "-ww", page.string()}, PROJECT);
    CHECK(groff.exit_code == 0);
    CHECK(groff.err.empty());
  }
  if (is_installed("mandoc")) {
    for (const std::string& line :
         lines_of(run_process("/usr/bin/env",
                              {"mandoc", "-T", "lint", "-W", "warning", page.string()}, PROJECT)
                      .out)) {
      INFO(line); // a date would make two builds differ
      CHECK(line.find("missing date") != std::string::npos);
    }
  }
}
