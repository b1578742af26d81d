// Completion scripts in the real shells: a line is typed into an interactive shell, with Tab, and
// what the shell then runs is a stand-in that writes its arguments down.

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/shell_session.hpp"
#include "support/temp_dir.hpp"

#include <fstream>
#include <iterator>

namespace {

struct Typed {
  std::string keys;
  std::string run; ///< the arguments that the shell runs
};

const std::vector<Typed> k_typed = {
    {"mla-scale aud\t", "audit"},
    {"mla-scale --ver\t", "--version"},
    {"mla-scale audit --fail\t", "audit --fail-on"},
    {"mla-scale audit --fail-on war\t", "audit --fail-on warning"},
    {"mla-scale check model dump -f jun\t", "check model dump -f junit"},
    {"mla-scale inspect --format=js\t", "inspect --format=json"},
    {"mla-scale engines --engine vllm@326\t", "engines --engine vllm@32623"},
    {"mla-scale audit --ignore MLA30\t3", "audit --ignore MLA303"},
    {"mla-scale audit -o sar\tx", "audit -o sarif:x"},
    {"mla-scale audit -o sarif:repo\t", "audit -o sarif:report.sarif"},
    {"mla-scale explain scale.latent_width_m\t", "explain scale.latent_width_mscale"},
    {"mla-scale completion fi\t", "completion fish"},
    {"mla-scale inspect mode\tx", "inspect models/x"},
    {"mla-scale check --scale mode\t", "check --scale mode"},
};

/// Runs the shell with the script sourced and returns the lines that the stand-in wrote.
std::vector<std::string> complete_in(const std::vector<std::string>& shell,
                                     const std::vector<std::string>& setup,
                                     const std::string& script_name) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "models");
  std::ofstream(dir / "report.sarif") << "{}\n";
  const ProcessResult script = run_process(BINARY, {"completion", shell.front()}, PROJECT);
  REQUIRE(script.exit_code == 0);
  std::ofstream(dir / script_name) << script.out;
  std::vector<std::string> lines = setup;
  lines.emplace_back("mla-scale() { echo \"$*\" >>transcript; }");
  for (const Typed& typed : k_typed) {
    lines.push_back(typed.keys);
  }
  lines.emplace_back("exit");
  const std::string printed =
      type_into(shell, lines, dir.path().string(),
                {{"PS1", "READY>"}, {"TERM", "dumb"}, {"HOME", dir.path().string()}});
  INFO(printed);
  std::ifstream transcript(dir / "transcript");
  std::vector<std::string> run;
  for (std::string line; std::getline(transcript, line);) {
    // Completion ends a word with a blank, which no argument holds.
    run.push_back(line.substr(0, line.find_last_not_of(' ') + 1));
  }
  REQUIRE(run.size() == k_typed.size());
  return run;
}

} // namespace

TEST_CASE("Tab completes commands, options, values, identifiers and files in bash",
          "[cli][completion]") {
  if (!has_terminals()) {
    WARN("there are no pseudo-terminals here");
    return;
  }
  const auto run =
      complete_in({"bash", "--norc", "--noprofile", "-i"}, {"source ./script"}, "script");
  for (std::size_t i = 0; i < run.size(); ++i) {
    CHECK(run[i] == k_typed[i].run);
  }
}

TEST_CASE("Tab completes commands, options, values, identifiers and files in zsh",
          "[cli][completion]") {
  if (!is_installed("zsh") || !has_terminals()) {
    WARN("zsh is not installed, or there are no pseudo-terminals here");
    return;
  }
  const auto run =
      complete_in({"zsh", "-f", "-i"},
                  {"fpath=($PWD $fpath); autoload -U compinit; compinit -u -D"}, "_mla-scale");
  for (std::size_t i = 0; i < run.size(); ++i) {
    CHECK(run[i] == k_typed[i].run);
  }
}

TEST_CASE("fish offers commands, options, values, identifiers and files", "[cli][completion]") {
  if (!is_installed("fish")) {
    WARN("fish is not installed");
    return;
  }
  const TempDir dir;
  std::filesystem::create_directory(dir / "models");
  std::ofstream(dir / "mla-scale.fish") << run_process(BINARY, {"completion", "fish"}, PROJECT).out;
  const std::vector<std::pair<std::string, std::string>> k_offered = {
      {"mla-scale aud", "audit"},
      {"mla-scale audit --fail", "--fail-on"},
      {"mla-scale audit --fail-on war", "warning"},
      {"mla-scale engines --engine vllm@326", "vllm@32623"},
      {"mla-scale audit -o sar", "sarif:"},
      {"mla-scale explain scale.latent_width_m", "scale.latent_width_mscale"},
      {"mla-scale completion fi", "fish"},
      {"mla-scale inspect mode", "models/"},
      {"mla-scale check --scale mode", ""},
  };
  for (const auto& [line, offered] : k_offered) {
    INFO(line);
    const ProcessResult result = run_process(
        "/usr/bin/env",
        {"fish", "--no-config", "-c", "source mla-scale.fish; complete -C \"" + line + "\""},
        dir.path().string(), "", {{"HOME", dir.path().string()}});
    CHECK(result.out.substr(0, result.out.find_first_of("\t\n")) == offered);
  }
}
