// Captures from real GPU kernels through the real binary: testdata/captures/*/truth.json says what
// is wrong with each.

#include "support/catch.hpp"
#include "support/process.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>

#include <string>
#include <vector>

using mla_scale::json::Document;
using mla_scale::json::Value;

namespace {

Document parse(const std::string& text) {
  auto document = Document::parse(text, "json");
  REQUIRE(document);
  return *std::move(document);
}

std::string text_of(const Value& row, std::string_view key) {
  return std::string(row.find(key)->as_string().value());
}

/// Runs check and compares verdict, exit code and first identifier with what was injected.
void check_capture(const std::string& model, const std::vector<std::string>& files,
                   const std::string& bug) {
  std::vector<std::string> arguments{"check", model};
  arguments.insert(arguments.end(), files.begin(), files.end());
  arguments.insert(arguments.end(), {"-f", "json"});
  const ProcessResult result = run_process(BINARY, arguments, PROJECT);
  INFO(files.back() << ": " << bug << "\n" << result.err);
  const bool healthy = bug == "healthy";
  CHECK(result.exit_code == (healthy ? 0 : 1));
  const Document report = parse(result.out);
  CHECK(text_of(report.root(), "verdict") == (healthy ? "match" : "mismatch"));
  const auto first = report.root().find("diagnosis")->first();
  if (healthy) {
    CHECK((!first || text_of(*first, "id").starts_with("precision.")));
  } else {
    REQUIRE(first);
    CHECK(text_of(*first, "id") == bug);
  }
}

} // namespace

TEST_CASE("captures of transformers' own attention modules are judged right in every format",
          "[captures]") {
  const std::string folder = "testdata/captures/transformers/";
  const auto truth =
      mla_scale::read_file(std::string(PROJECT) + "/" + folder + "truth.json", 1 << 20);
  REQUIRE(truth);
  const Document rows = parse(*truth);
  std::size_t count = 0;
  for (auto row = rows.root().first(); row; row = row->next(), ++count) {
    check_capture("testdata/zoo/" + text_of(*row, "zoo"), {folder + text_of(*row, "file")},
                  text_of(*row, "bug"));
  }
  CHECK(count >= 14);
}

#ifdef SHARED_DUMPS
TEST_CASE("captures beside the project are judged right", "[captures]") {
  const std::string folder = std::string(SHARED_DUMPS) + "/";
  const auto truth = mla_scale::read_file(folder + "truth.json", 1 << 20);
  REQUIRE(truth);
  const Document rows = parse(*truth);
  for (auto row = rows.root().first(); row; row = row->next()) {
    check_capture(folder + "models/" + text_of(*row, "config"),
                  {folder + text_of(*row, "inputs"), folder + text_of(*row, "file")},
                  text_of(*row, "bug"));
  }
}
#endif
