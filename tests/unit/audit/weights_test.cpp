// Shapes by hand: 2 heads of 128 + 64 and 128, hidden 64, ranks 32 and 128 (the fixture's config).

#include "support/catch.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/audit/audit.hpp>
#include <mla_scale/core/file.hpp>

#include <filesystem>
#include <fstream>

using namespace mla_scale;

namespace {

namespace fs = std::filesystem;

/// A safetensors file of `size` bytes: the header, then a hole.
void write_safetensors(const fs::path& path, const std::string& header, std::uintmax_t size) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) {
    text[i] = static_cast<char>((header.size() >> (8 * i)) & 0xFF);
  }
  REQUIRE(write_file(path, text + header));
  fs::resize_file(path, size);
}

std::string layer_header(const std::string& prefix, const std::string& dtype,
                         const std::string& kv_b_shape) {
  const auto tensor = [&](const std::string& name, const std::string& shape) {
    return "\"" + prefix + name + ".weight\": {\"dtype\": \"" + dtype + "\", \"shape\": " + shape
           + ", \"data_offsets\": [0, 0]}";
  };
  return "{" + tensor("q_b_proj", "[384, 32]") + ", " + tensor("kv_a_proj_with_mqa", "[192, 64]")
         + ", " + tensor("kv_b_proj", kv_b_shape) + ", " + tensor("o_proj", "[64, 256]") + "}";
}

struct Model {
  TempDir dir;
  Model() {
    fs::copy_file(fs::path(TESTDATA) / "rules/MLA402/good/config.json", dir / "config.json");
  }
  [[nodiscard]] std::vector<audit::Finding> findings() const {
    return audit::audit(std::vector{dir.path()}, {}).findings;
  }
};

constexpr std::uintmax_t k_terabyte = std::uintmax_t{1} << 40;

} // namespace

TEST_CASE("a shape that does not fit names the tensor, the file and the keys", "[audit]") {
  const Model model;
  write_safetensors(model.dir / "model.safetensors",
                    layer_header("model.layers.0.self_attn.", "BF16", "[256, 128]"), 1 << 20);
  const std::vector<audit::Finding> findings = model.findings();
  REQUIRE(findings.size() == 1);
  const std::string& message = findings.front().message;
  CHECK(findings.front().id == "MLA402");
  for (const std::string_view part :
       {"model.layers.0.self_attn.kv_b_proj.weight", "model.safetensors", "[256, 128]",
        "[512, 128]", "qk_nope_head_dim 128", "v_head_dim 128"}) {
    CHECK(message.find(part) != std::string::npos);
  }
}

TEST_CASE("only headers are read: a terabyte of weights in shards costs nothing", "[audit]") {
  const Model model;
  const std::string prefix = "model.layers.7.self_attn.";
  write_safetensors(model.dir / "model-00002-of-00003.safetensors",
                    layer_header(prefix, "F8_E4M3", "[512, 128]"), k_terabyte);
  // The other shards hold no attention of that layer and may not be opened: they are no
  // safetensors.
  REQUIRE(write_file(model.dir / "model-00001-of-00003.safetensors", "no header"));
  std::string map;
  for (const std::string name : {"q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"}) {
    map += (map.empty() ? "\"" : ", \"") + prefix + name
           + ".weight\": \"model-00002-of-00003.safetensors\"";
  }
  REQUIRE(write_file(model.dir / "model.safetensors.index.json",
                     "{\"weight_map\": {\"lm_head.weight\": \"model-00001-of-00003.safetensors\", "
                         + map + "}}"));
  CHECK(model.findings().empty());
}

TEST_CASE("packed weights hide their shape and are passed over", "[audit]") {
  const Model model;
  write_safetensors(model.dir / "model.safetensors",
                    layer_header("model.layers.0.self_attn.", "U8", "[512, 64]"), 1 << 20);
  CHECK(model.findings().empty());
}

TEST_CASE("the names of Mistral and of DeepSeek's inference code are known", "[audit]") {
  const Model model;
  write_safetensors(model.dir / "consolidated.safetensors",
                    "{\"layers.0.attention.wkv_b.weight\": {\"dtype\": \"BF16\", \"shape\": [256, "
                    "128], \"data_offsets\": [0, 0]}, "
                    "\"layers.0.attention.wkv_a_with_mqa.weight\": {\"dtype\": \"BF16\", "
                    "\"shape\": [128, 64], \"data_offsets\": [0, 0]}}",
                    1 << 20);
  const std::vector<audit::Finding> findings = model.findings();
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].id == "MLA401");
  CHECK(findings[1].id == "MLA402");
}

TEST_CASE("hostile headers are findings, never crashes", "[audit]") {
  const Model model;
  const std::vector<std::string> headers = {
      "",
      "{",
      "[]",
      "{\"model.layers.0.self_attn.kv_b_proj.weight\": 3}",
      "{\"model.layers.0.self_attn.kv_b_proj.weight\": {\"dtype\": 3, \"shape\": []}}",
      "{\"model.layers.0.self_attn.kv_b_proj.weight\": {\"dtype\": \"F32\", \"shape\": [\"a\"]}}"};
  for (const std::string& header : headers) {
    INFO(header);
    write_safetensors(model.dir / "model.safetensors", header, 4096);
    for (const audit::Finding& finding : model.findings()) {
      CHECK(finding.id == "MLA905");
    }
  }
  REQUIRE(write_file(model.dir / "model.safetensors", std::string(7, '\xFF')));
  CHECK(model.findings().at(0).id == "MLA905");
  REQUIRE(write_file(model.dir / "model.safetensors", std::string(64, '\xFF')));
  CHECK(model.findings().at(0).id == "MLA905");
}
