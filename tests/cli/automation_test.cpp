// What other projects' CI takes from here: action.yml and .pre-commit-hooks.yaml. Their shell runs
// as a runner would run it; what it downloads and installs with is replaced by stand-ins.

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

#include <mla_scale/core/version.hpp>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

namespace {

namespace fs = std::filesystem;

const fs::path k_action = fs::path(PROJECT) / "action.yml";

/// The shell of the step with that name: "run: line", or the lines indented below "run: |".
std::string shell_of(const std::string& step) {
  constexpr std::size_t k_indent = 8;
  std::string script;
  bool in_step = false;
  bool in_run = false;
  for (const std::string& line : lines_of(slurp(k_action))) {
    if (line.starts_with("    - name: ")) {
      in_step = line == "    - name: " + step;
      in_run = false;
    } else if (in_step && in_run
               && (line.empty() || line.starts_with(std::string(k_indent, ' ')))) {
      script += (line.empty() ? "" : line.substr(k_indent)) + "\n";
    } else if (in_step && line.starts_with("      run: ")) {
      in_run = line == "      run: |";
      script = in_run ? "" : line.substr(std::string("      run: ").size());
    }
  }
  REQUIRE(!script.empty());
  return script;
}

/// A directory with a model, for the steps to run in.
class Runner {
public:
  Runner() {
    fs::create_directories(m_dir / "bin");
    fs::create_directories(m_dir / "models/v3");
    fs::copy_file(fs::path(PROJECT) / "testdata/zoo/deepseek-ai--DeepSeek-V3/config.json",
                  m_dir / "models/v3/config.json");
    fs::create_symlink(BINARY, m_dir / "bin/mla-scale");
  }

  /// A program that writes its name and arguments to the file "calls".
  void stand_in(const std::string& name, const std::string& prints = "") {
    const fs::path path = m_dir / "bin" / name;
    std::ofstream(path) << "#!/bin/sh\necho \"" << name << " $*\" >>'" << (m_dir / "calls").string()
                        << "'\n"
                        << (prints.empty() ? "" : "echo " + prints + "\n");
    fs::permissions(path, fs::perms::owner_all);
  }

  ProcessResult run(const std::string& shell, std::map<std::string, std::string> environment) {
    environment["PATH"] = (m_dir / "bin").string() + ":/usr/bin:/bin";
    environment["GITHUB_OUTPUT"] = (m_dir / "output").string();
    environment["RUNNER_TEMP"] = m_dir.path().string();
    environment["GITHUB_SERVER_URL"] = "https://github.example";
    // As a runner runs "shell: bash".
    return run_process("/bin/bash", {"--noprofile", "--norc", "-eo", "pipefail", "-c", shell},
                       m_dir.path().string(), "", environment);
  }

  [[nodiscard]] std::string file(const std::string& name) const { return slurp(m_dir / name); }
  [[nodiscard]] const TempDir& dir() const { return m_dir; }

private:
  TempDir m_dir;
};

std::map<std::string, std::string> audit_inputs() {
  return {{"PATHS", "models\n"},
          {"FAIL_ON", "error"},
          {"SNAPSHOT", ""},
          {"BASELINE", ""},
          {"SARIF", "a.sarif"}};
}

} // namespace

TEST_CASE("the action, the vcpkg manifest and the change log name the version of the project",
          "[cli][automation]") {
  const std::string version(mla_scale::k_version);
  CHECK(slurp(k_action).find("    description: Which release\n    default: " + version + "\n")
        != std::string::npos);
  CHECK(slurp(fs::path(PROJECT) / "vcpkg.json").find("\"version\": \"" + version + "\"")
        != std::string::npos);
  CHECK(slurp(fs::path(PROJECT) / "lib/CHANGELOG.md").find("\n## " + version + "\n")
        != std::string::npos);
}

TEST_CASE("every input that the action uses is declared, and every one declared is used",
          "[cli][automation]") {
  const std::string text = slurp(k_action);
  std::set<std::string> declared;
  bool inside = false;
  for (const std::string& line : lines_of(text)) {
    inside = line == "inputs:" || (inside && (line.empty() || line.front() == ' '));
    if (inside && std::regex_match(line, std::regex("  [a-z-]+:"))) {
      declared.insert(line.substr(2, line.size() - 3));
    }
  }
  std::set<std::string> used;
  const std::regex use("inputs\\.([a-z-]+)");
  for (std::sregex_iterator match(text.begin(), text.end(), use), end; match != end; ++match) {
    used.insert((*match)[1]);
  }
  CHECK(declared == used);
  CHECK(declared.size() >= 8);
}

TEST_CASE("the action installs the package of its own release, by the name that cpack gives it",
          "[cli][automation]") {
  Runner runner;
  runner.stand_in("curl");
  runner.stand_in("sudo");
  runner.stand_in("dpkg", "amd64");
  const std::string version(mla_scale::k_version);
  const ProcessResult result = runner.run(shell_of("Install"), {{"INSTALL", "release"},
                                                                {"VERSION", version},
                                                                {"REPOSITORY", "someone/mla-scale"},
                                                                {"SOURCE", PROJECT}});
  CHECK(result.exit_code == 0);
  const std::string package = "mla-scale_" + version + "-1_amd64.deb";
  const std::string calls = runner.file("calls");
  CHECK(calls.find("https://github.example/someone/mla-scale/releases/download/v" + version + "/"
                   + package + "\n")
        != std::string::npos);
  CHECK(calls.find("sudo apt-get install -y -qq " + (runner.dir() / package).string() + "\n")
        != std::string::npos);
  CHECK(runner.run(shell_of("Install"), {{"INSTALL", "else"}}).exit_code == 2);
}

TEST_CASE("the action builds from source with what the README's first command installs",
          "[cli][automation]") {
  Runner runner;
  runner.stand_in("cmake");
  runner.stand_in("sudo");
  const ProcessResult result =
      runner.run(shell_of("Install"), {{"INSTALL", "source"}, {"SOURCE", PROJECT}});
  CHECK(result.exit_code == 0);
  const std::string readme = slurp(fs::path(PROJECT) / "README.md");
  std::istringstream calls(runner.file("calls"));
  for (std::string line; std::getline(calls, line);) {
    const std::string install = "sudo apt-get install -y -qq ";
    if (line.starts_with(install)) {
      for (const std::string& package : split_arguments(line.substr(install.size()))) {
        INFO(package);
        CHECK(readme.find(" " + package + " ") != std::string::npos);
      }
    }
  }
  CHECK(runner.file("calls").find("cmake -S " + std::string(PROJECT)) != std::string::npos);
}

TEST_CASE("the action's audit writes SARIF, keeps the exit code for the verdict, and sees drift",
          "[cli][automation]") {
  Runner runner;
  auto inputs = audit_inputs();
  CHECK(runner.run(shell_of("Audit"), inputs).exit_code == 0);
  CHECK(runner.file("output") == "exit-code=0\n");
  CHECK(runner.file("a.sarif").find("\"2.1.0\"") != std::string::npos);

  CHECK(run_process(BINARY, {"audit", "models", "--snapshot", "s.json", "--bless"},
                    runner.dir().path().string())
            .exit_code
        == 0);
  inputs["SNAPSHOT"] = "s.json";
  std::string config = runner.file("models/v3/config.json");
  config.replace(config.find("\"factor\": 40"), 12, "\"factor\": 41");
  std::ofstream(runner.dir() / "models/v3/config.json") << config;
  const ProcessResult drifted = runner.run(shell_of("Audit"), inputs);
  CHECK(drifted.exit_code == 0);
  CHECK(drifted.out.find("::error") != std::string::npos);
  CHECK(runner.file("output") == "exit-code=0\nexit-code=1\n");
  CHECK(runner.run(shell_of("Verdict"), {{"CODE", "1"}}).exit_code == 1);
  CHECK(runner.run(shell_of("Verdict"), {{"CODE", "0"}}).exit_code == 0);
}

TEST_CASE("the pre-commit hook audits the repository, and its pattern takes model files",
          "[cli][automation]") {
  const std::string hooks = slurp(fs::path(PROJECT) / ".pre-commit-hooks.yaml");
  std::smatch entry;
  REQUIRE(std::regex_search(hooks, entry, std::regex("  entry: (.*)\n")));
  std::smatch arguments; // which a user's own replace
  REQUIRE(std::regex_search(hooks, arguments, std::regex("  args: \\[(.*)\\]\n")));
  const std::string everything = entry[1].str() + " " + arguments[1].str();
  Runner runner;
  CHECK(runner.run(everything, {}).exit_code == 0);
  std::ofstream(runner.dir() / "config.json") << "{\"port\": 80}"; // of another program
  CHECK(runner.run(everything, {}).exit_code == 3);
  CHECK(runner.run(entry[1].str() + " models", {}).exit_code == 0);
  std::ofstream(runner.dir() / "models/v3/config.json") << "{\"model_type\": \"deepseek_v3\",";
  CHECK(runner.run(entry[1].str() + " models", {}).exit_code == 3);

  std::smatch files;
  REQUIRE(std::regex_search(hooks, files, std::regex("  files: (.*)\n")));
  const std::regex pattern(files[1].str());
  for (const char* name :
       {"config.json", "zoo/v3/config.json", "params.json", "a/config_671B.json", "model.gguf"}) {
    CHECK(std::regex_search(name, pattern));
  }
  for (const char* name : {"tokenizer_config.json", "config.json.bak", "main.cpp"}) {
    CHECK(!std::regex_search(name, pattern));
  }
}
