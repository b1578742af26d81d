// What a CI job sees of drift: the file as it was named on the command line, and the line.

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>

#include <filesystem>

namespace {

namespace fs = std::filesystem;

/// A directory with one model whose factor was changed after the snapshot was taken.
class DriftedZoo {
public:
  DriftedZoo() {
    fs::create_directories(m_dir / "models/v3");
    const fs::path config = m_dir / "models/v3/config.json";
    std::string text = mla_scale::read_file(std::string(PROJECT)
                                                + "/testdata/zoo/deepseek-ai--DeepSeek-V3/"
                                                  "config.json",
                                            1 << 20)
                           .value();
    REQUIRE(mla_scale::write_file(config, text));
    REQUIRE(audit({"models", "--bless"}).exit_code == 0);
    const std::string factor = "\"factor\": 40";
    text.replace(text.find(factor), factor.size(), "\"factor\": 32");
    REQUIRE(mla_scale::write_file(config, text));
  }

  [[nodiscard]] ProcessResult audit(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"audit", "--snapshot", "snapshot.json"});
    return run_process(BINARY, arguments, m_dir.path().string());
  }

private:
  TempDir m_dir;
};

bool has(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

} // namespace

// Line 20, column 15 by hand: the value of factor in the published config.
TEST_CASE("drift is red in every format, at the path that was given and the line of the key",
          "[cli][drift]") {
  const DriftedZoo zoo;
  const ProcessResult github = zoo.audit({"models", "-f", "github", "--fail-on", "never"});
  CHECK(github.exit_code == 1);
  CHECK(has(github.out, "::error file=models/v3/config.json,line=20,col=15,title=drift::"
                        "/rope_scaling/factor was 40 in the snapshot and is 32 now\n"));
  CHECK(has(zoo.audit({"./models/", "-f", "github"}).out,
            "::error file=models/v3/config.json,line=20,col=15,title=drift::/rope_scaling/factor"));
  // GitHub shows ten annotations of a step: the keys come before what follows from them.
  CHECK(github.out.find("::/rope_scaling/factor was")
        < github.out.find("::softmax_scale.prefill was"));
  CHECK(github.out.find("::softmax_scale.decode was") < github.out.find("::engines."));
  CHECK(has(zoo.audit({"models"}).out, " (if that was meant: --bless)\n"));
  CHECK(has(zoo.audit({"models", "-f", "text"}).out,
            "models/v3/config.json:20:15: drift: /rope_scaling/factor was 40"));
  CHECK(has(zoo.audit({"models", "-f", "junit"}).out, ">models/v3/config.json:20:15: "));
  const std::string json = zoo.audit({"models", "-f", "json"}).out;
  CHECK(has(json,
            "\"path\": \"models/v3/config.json\",\n      \"field\": \"/rope_scaling/factor\",\n"
            "      \"expected\": 40,\n      \"actual\": 32,\n"
            "      \"line\": 20,\n      \"column\": 15\n"));
  const std::string sarif = zoo.audit({"models", "-f", "sarif"}).out;
  const std::size_t drift = sarif.find("/rope_scaling/factor was 40");
  REQUIRE(drift != std::string::npos);
  CHECK(sarif.find("\"uri\": \"models/v3/config.json\"", drift)
        < sarif.find("\"startLine\": 20", drift));
}
