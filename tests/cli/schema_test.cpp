// Every JSON report validates against the schema that the program ships and prints.

#include "support/catch.hpp"
#include "support/json_schema.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/json/document.hpp>
#include <mla_scale/report/schema.hpp>

using mla_scale::json::Document;

namespace {

Document parse(const std::string& text) {
  auto document = Document::parse(text, "json");
  REQUIRE(document);
  return *std::move(document);
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line + "\n";
  }
  return text;
}

} // namespace

TEST_CASE("the JSON of every command validates against the shipped schema", "[cli][schema]") {
  const Document schema = parse(std::string(mla_scale::report::json_schema()));
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
    const Document report = parse(result.out);
    CHECK(joined(schema_violations(schema.root(), report.root())).empty());
  }
}

TEST_CASE("the schema refuses a report that lacks what the contract promises", "[cli][schema]") {
  const Document schema = parse(std::string(mla_scale::report::json_schema()));
  const ProcessResult result =
      run_process(BINARY, {"inspect", "testdata/zoo/zai-org--GLM-5", "-f", "json"}, PROJECT);
  for (const std::string key : {"schema_version", "prefill", "latent_dim", "disputed", "family"}) {
    INFO(key);
    std::string text = result.out;
    text.replace(text.find("\"" + key + "\""), key.size() + 2, "\"other\"");
    CHECK(!schema_violations(schema.root(), parse(text).root()).empty());
  }
}
