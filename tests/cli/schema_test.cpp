// Every JSON report validates against the schema that the program ships and prints, and SARIF
// against the part of the OASIS schema that it uses.

#include "support/catch.hpp"
#include "support/json.hpp"
#include "support/json_schema.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/report/schema.hpp>

using mla_scale::json::Document;

namespace {

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line + "\n";
  }
  return text;
}

Document sarif_schema() {
  const auto text = mla_scale::read_file(
      std::string(PROJECT) + "/tests/support/sarif-2.1.0.schema.json", 1 << 20);
  REQUIRE(text);
  return parse_json(*text);
}

std::string sarif_of(const std::string& arguments) {
  return run_process(BINARY, split_arguments("audit " + arguments + " -f sarif"), PROJECT).out;
}

} // namespace

TEST_CASE("the JSON of every command validates against the shipped schema", "[cli][schema]") {
  const Document schema = parse_json(std::string(mla_scale::report::json_schema()));
  const TempDir dir;
  const std::filesystem::path sampled = dir / "sample.safetensors";
  const std::string captures = "testdata/captures/transformers/";
  for (const std::string& command :
       {std::string("inspect testdata/zoo"), std::string("inspect testdata/bad"),
        std::string("inspect no/such/path"), std::string("engines testdata/zoo"),
        std::string("audit testdata/zoo"), std::string("audit testdata/bad"),
        std::string("audit testdata/zoo --snapshot testdata/zoo/snapshot.json"),
        std::string("explain MLA303 softmax-scale"), std::string("explain --list"),
        std::string("hook --list"), std::string("hook transformers"),
        std::string("sample testdata/zoo/deepseek-ai--DeepSeek-V3 --heads 1 -o ")
            + sampled.string(),
        "inspect testdata/zoo/deepseek-ai--DeepSeek-V3 --check " + captures
            + "v3_flash_bf16.safetensors",
        "check testdata/zoo/deepseek-ai--DeepSeek-V3 " + captures + "v3_flash_bf16.safetensors",
        "check testdata/zoo/deepseek-ai--DeepSeek-V3 " + captures
            + "v3_latent_width_bf16.safetensors"}) {
    INFO(command);
    const ProcessResult result =
        run_process(BINARY, split_arguments(command + " -f json"), PROJECT);
    const Document report = parse_json(result.out);
    CHECK(joined(schema_violations(schema.root(), report.root())).empty());
  }
}

TEST_CASE("the schema refuses a report that lacks what the contract promises", "[cli][schema]") {
  const Document schema = parse_json(std::string(mla_scale::report::json_schema()));
  const ProcessResult result =
      run_process(BINARY, {"inspect", "testdata/zoo/zai-org--GLM-5", "-f", "json"}, PROJECT);
  for (const std::string key : {"schema_version", "prefill", "latent_dim", "disputed", "family"}) {
    INFO(key);
    std::string text = result.out;
    text.replace(text.find("\"" + key + "\""), key.size() + 2, "\"other\"");
    CHECK(!schema_violations(schema.root(), parse_json(text).root()).empty());
  }
}

TEST_CASE("SARIF of every rule, of broken input and of drift validates against the standard's "
          "schema",
          "[cli][schema]") {
  const Document schema = sarif_schema();
  const TempDir dir;
  const std::string hostile = dir / "a b%c\n\xC3\xA9";
  std::filesystem::create_directories(hostile);
  std::filesystem::copy_file(std::string(PROJECT) + "/testdata/rules/MLA303/bad.json",
                             hostile + "/config.json");
  for (const std::string arguments :
       {"testdata/rules", "testdata/zoo", "testdata/bad", "no/such/path",
        "testdata/zoo/zai-org--GLM-5",
        "testdata/zoo/moonshotai--Kimi-K2-Instruct --snapshot testdata/zoo/snapshot.json"}) {
    INFO(arguments);
    const Document report = parse_json(sarif_of(arguments));
    CHECK(joined(schema_violations(schema.root(), report.root())).empty());
  }
  const Document report =
      parse_json(run_process(BINARY, {"audit", hostile, "-f", "sarif"}, PROJECT).out);
  CHECK(joined(schema_violations(schema.root(), report.root())).empty());
}

TEST_CASE("SARIF that is not as the standard has it is refused", "[cli][schema]") {
  const Document schema = sarif_schema();
  const std::string good = sarif_of("testdata/rules/MLA303/bad.json");
  struct Breakage {
    std::string_view from, to;
  };
  for (const Breakage& breakage :
       {Breakage{"\"version\": \"2.1.0\"", "\"version\": \"2.0.0\""},
        Breakage{"\"driver\"", "\"drivers\""}, Breakage{"\"unicodeCodePoints\"", "\"bytes\""},
        Breakage{"\"level\": \"warning\"", "\"level\": \"bad\""},
        Breakage{"\"startLine\": 22", "\"startLine\": 0"},
        Breakage{"\"startLine\": 22", "\"startLine\": \"22\""},
        Breakage{"\"ruleIndex\": 0", "\"ruleIndex\": 0.5"},
        Breakage{"\"uri\": \"testdata/", "\"uri\": \"test data/"},
        Breakage{"\"text\"", "\"markdown\""}, Breakage{"\"message\": {", "\"messages\": {"},
        Breakage{"\"ruleId\"", "\"rule\""}}) {
    INFO(breakage.from << " -> " << breakage.to);
    std::string text = good;
    const std::size_t at = text.find(breakage.from);
    REQUIRE(at != std::string::npos);
    text.replace(at, breakage.from.size(), breakage.to);
    CHECK(!schema_violations(schema.root(), parse_json(text).root()).empty());
  }
}
