// Captures from real GPU kernels through the real binary: testdata/captures/*/truth.json says what
// is wrong with each.

#include "support/catch.hpp"
#include "support/json.hpp"
#include "support/markup.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>

#include <string>
#include <vector>

using mla_scale::json::Document;
using mla_scale::json::Value;

namespace {

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
  const Document report = parse_json(result.out);
  CHECK(text_of(report.root(), "verdict") == (healthy ? "match" : "mismatch"));
  const auto first = report.root().find("diagnosis")->first();
  if (healthy) {
    CHECK((!first || text_of(*first, "id").starts_with("precision.")));
  } else {
    REQUIRE(first);
    CHECK(text_of(*first, "id") == bug);
  }
}

/// Checks every capture that the truth.json of a folder of testdata/captures lists.
std::size_t check_folder(const std::string& name) {
  const std::string folder = "testdata/captures/" + name + "/";
  const auto truth =
      mla_scale::read_file(std::string(PROJECT) + "/" + folder + "truth.json", 1 << 20);
  REQUIRE(truth);
  const Document rows = parse_json(*truth);
  std::size_t count = 0;
  for (auto row = rows.root().first(); row; row = row->next(), ++count) {
    check_capture("testdata/zoo/" + text_of(*row, "zoo"), {folder + text_of(*row, "file")},
                  text_of(*row, "bug"));
  }
  return count;
}

} // namespace

TEST_CASE("captures of transformers' own attention modules are judged right in every format",
          "[captures]") {
  CHECK(check_folder("transformers") >= 14);
}

TEST_CASE("captures that the hook made inside transformers are judged right", "[captures]") {
  CHECK(check_folder("hook") == 2);
}

// The captures are healthy and their config has mscale == mscale_all_dim; the reference is given a
// scale near theirs, which no known mistake makes.
TEST_CASE("a scale that no mistake explains is told as its value, not as another bug",
          "[captures]") {
  const std::string folder = "testdata/captures/gpu/";
  const std::string name = folder + "v2lite_bf16_p24_s2503.";
  for (const std::string kernel : {"04.healthy.math", "07.healthy.triton"}) {
    for (const std::string scale : {"0.1147", "0.114", "0.1"}) {
      INFO(kernel << " --scale " << scale);
      const ProcessResult result =
          run_process(BINARY,
                      {"check", folder + "models/v2lite", name + "inputs.safetensors",
                       name + kernel + ".safetensors", "--scale", scale},
                      PROJECT);
      CHECK(result.exit_code == 1);
      CHECK(result.out.starts_with("MISMATCH  scale.other:"));
    }
  }
}

// 45 query rows behind a prefix of 24: the first sits at position 24, the last at 68.
TEST_CASE("the map says which rows its positions are, where there is a prefix", "[captures]") {
  const std::string folder = "testdata/captures/gpu/";
  const std::string name = folder + "v2lite_bf16_p24_s2503.";
  const ProcessResult result =
      run_process(BINARY,
                  {"check", folder + "models/v2lite", name + "inputs.safetensors",
                   name + "11.scale.nope_width.cudnn.safetensors"},
                  PROJECT);
  CHECK(result.out.find("\n            positions 24..68 = rows 0..44\n    position 24 ")
        != std::string::npos);
  // Without a prefix the two are the same, and nothing is said.
  const ProcessResult without =
      run_process(BINARY,
                  {"check", "testdata/zoo/deepseek-ai--DeepSeek-V3",
                   "testdata/captures/transformers/v3_latent_width_bf16.safetensors"},
                  PROJECT);
  CHECK(without.out.find("\n    position ") != std::string::npos);
  CHECK(without.out.find("= rows") == std::string::npos);
}

TEST_CASE("the page of a check is the same bytes whatever the threads, and loads nothing",
          "[captures]") {
  const std::string model = "testdata/zoo/deepseek-ai--DeepSeek-V3";
  const std::string capture = "testdata/captures/transformers/v3_latent_width_bf16.safetensors";
  const TempDir folder;
  const std::string file = (folder / "report.html").string();
  const ProcessResult one =
      run_process(BINARY, {"check", model, capture, "--threads", "1", "-f", "html"}, PROJECT);
  const ProcessResult other = run_process(
      BINARY, {"check", model, capture, "--threads", "2", "-o", "html:" + file}, PROJECT);
  CHECK(one.exit_code == 1);
  CHECK(other.exit_code == 1);
  CHECK(mla_scale::read_file(file, 1 << 24).value() == one.out);
  const Markup page = parse_markup(one.out);
  CHECK(page.problems == std::vector<std::string>{});
  CHECK(page.named("h1").front().text
        == "scale.latent_width: softmax scale from the width of the latent cache");
  CHECK(one.out.find("src=") == std::string::npos);
  CHECK(one.out.find("url(http") == std::string::npos);
}

TEST_CASE("the page of an audit is well-formed for a whole zoo", "[captures]") {
  const ProcessResult result =
      run_process(BINARY, {"audit", "testdata/zoo", "-f", "html"}, PROJECT);
  CHECK(result.exit_code == 0);
  const Markup page = parse_markup(result.out);
  CHECK(page.problems == std::vector<std::string>{});
  CHECK(page.named("h2").size() >= 4);
}

TEST_CASE("captures of GPU kernels with an injected bug are named right, healthy ones are not",
          "[captures]") {
  const std::string folder = "testdata/captures/gpu/";
  const auto truth =
      mla_scale::read_file(std::string(PROJECT) + "/" + folder + "truth.json", 1 << 20);
  REQUIRE(truth);
  const Document rows = parse_json(*truth);
  std::size_t count = 0;
  for (auto row = rows.root().first(); row; row = row->next(), ++count) {
    check_capture(folder + "models/" + text_of(*row, "config"),
                  {folder + text_of(*row, "inputs"), folder + text_of(*row, "file")},
                  text_of(*row, "bug"));
  }
  CHECK(count >= 55);
}

#ifdef SHARED_DUMPS
TEST_CASE("captures beside the project are judged right", "[captures]") {
  const std::string folder = std::string(SHARED_DUMPS) + "/";
  const auto truth = mla_scale::read_file(folder + "truth.json", 1 << 20);
  REQUIRE(truth);
  const Document rows = parse_json(*truth);
  for (auto row = rows.root().first(); row; row = row->next()) {
    check_capture(folder + "models/" + text_of(*row, "config"),
                  {folder + text_of(*row, "inputs"), folder + text_of(*row, "file")},
                  text_of(*row, "bug"));
  }
}
#endif
