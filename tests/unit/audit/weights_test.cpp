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

/// The header of a model of several layers: prefixes with the shapes of kv_b_proj.
std::string model_header(const std::vector<std::pair<std::string, std::string>>& layers) {
  std::string text;
  for (const auto& [prefix, shape] : layers) {
    const std::string layer = layer_header(prefix, "BF16", shape);
    text += (text.empty() ? "" : ", ") + layer.substr(1, layer.size() - 2);
  }
  return "{" + text + "}";
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

TEST_CASE("every layer is checked, whatever the order of the header; the first is named, and how "
          "many do not fit",
          "[audit]") {
  const Model model;
  // As text, 10 comes before 2 and 9.
  write_safetensors(model.dir / "model.safetensors",
                    model_header({{"model.layers.10.self_attn.", "[256, 128]"},
                                  {"model.layers.9.self_attn.", "[256, 128]"},
                                  {"model.layers.0.self_attn.", "[512, 128]"},
                                  {"model.layers.2.self_attn.", "[512, 64]"}}),
                    1 << 20);
  const std::vector<audit::Finding> findings = model.findings();
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().id == "MLA402");
  CHECK(findings.front().message.starts_with("model.layers.2.self_attn.kv_b_proj.weight in "
                                             "model.safetensors has the shape [512, 64]"));
  CHECK(findings.front().message.find("(in 3 of 4 layers)") != std::string::npos);
}

TEST_CASE("block scales are found wrong at the key that says how large a block is", "[audit]") {
  const Model model;
  std::string config = read_file(model.dir / "config.json", 1 << 20).value();
  config.insert(config.find('{') + 1,
                R"("quantization_config": {"weight_block_size": [128, 9223372036854775807]},)");
  REQUIRE(write_file(model.dir / "config.json", config));
  std::string header = layer_header("model.layers.0.self_attn.", "F8_E4M3", "[512, 128]");
  header.insert(1, R"("model.layers.0.self_attn.kv_b_proj.weight_scale_inv": {"dtype": "F32", )"
                   R"("shape": [8, 1], "data_offsets": [0, 0]}, )");
  write_safetensors(model.dir / "model.safetensors", header, 1 << 20);
  const std::vector<audit::Finding> findings = model.findings();
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().id == "MLA406");
  CHECK(findings.front().position.line == 1);
  CHECK(findings.front().position.column == 47);                                // of [128, by hand
  CHECK(findings.front().message.find("expected [4, 1]") != std::string::npos); // 512 / 128
}

TEST_CASE("layers of other attention are passed over", "[audit]") {
  const Model model; // as in kimi_linear, whose KDA layers have q_proj and o_proj too
  std::string header = layer_header("model.layers.3.self_attn.", "BF16", "[512, 128]");
  header.insert(1, "\"model.layers.0.self_attn.q_proj.weight\": {\"dtype\": \"BF16\", \"shape\": "
                   "[9, 9], \"data_offsets\": [0, 0]}, ");
  write_safetensors(model.dir / "model.safetensors", header, 1 << 20);
  CHECK(model.findings().empty());
}

TEST_CASE("sliding layers with dims of their own are checked by these", "[audit]") {
  const Model model;
  std::string config = read_file(model.dir / "config.json", 1 << 20).value();
  config.insert(config.find('{') + 1, "\"swa_qk_nope_head_dim\": 192, \"swa_kv_lora_rank\": 256,");
  REQUIRE(write_file(model.dir / "config.json", config));
  // By hand: 2 * (192 + 64), 256 + 64, 2 * (192 + 128).
  const auto sliding = [](const std::string& kv_b) {
    return "\"model.layers.1.self_attn.q_b_proj.weight\": {\"dtype\": \"BF16\", \"shape\": [512, "
           "32]}, \"model.layers.1.self_attn.kv_a_proj_with_mqa.weight\": {\"dtype\": \"BF16\", "
           "\"shape\": [320, 64]}, \"model.layers.1.self_attn.kv_b_proj.weight\": {\"dtype\": "
           "\"BF16\", \"shape\": "
           + kv_b + "}, ";
  };
  const auto ids = [&](const std::string& kv_b) {
    std::string header = layer_header("model.layers.0.self_attn.", "BF16", "[512, 128]");
    header.insert(1, sliding(kv_b));
    write_safetensors(model.dir / "model.safetensors", header, 1 << 20);
    std::string found;
    for (const audit::Finding& finding : model.findings()) {
      found += finding.id.starts_with("MLA40") ? finding.id + " " : "";
    }
    return found;
  };
  CHECK(ids("[640, 256]").empty());
  CHECK(ids("[640, 128]") == "MLA402 ");
}

TEST_CASE("the compressed query and the norms are compared with the ranks", "[audit]") {
  struct Wrong {
    std::string_view name, shape, rule, key;
  };
  for (const Wrong& wrong :
       {Wrong{"q_a_proj", "[64, 64]", "MLA405", "/q_lora_rank"},
        Wrong{"q_a_proj", "[32, 32]", "MLA405", "/hidden_size"},
        Wrong{"q_a_layernorm", "[64]", "MLA405", "/q_lora_rank"},
        Wrong{"kv_a_layernorm", "[192]", "MLA401", "/kv_lora_rank"},
        Wrong{"kv_a_norm", "[128, 1]", "MLA401", "/kv_lora_rank"},
        Wrong{"q_a_layernorm", "[32]", "", ""}, Wrong{"kv_a_layernorm", "[128]", "", ""},
        Wrong{"q_a_proj", "[32, 64]", "", ""},
        // A norm over each head, as in Qwen3.
        Wrong{"q_norm", "[192]", "", ""}}) {
    INFO(wrong.name << " " << wrong.shape);
    const Model model;
    std::string header = layer_header("model.layers.0.self_attn.", "BF16", "[512, 128]");
    header.insert(1, "\"model.layers.0.self_attn." + std::string(wrong.name)
                         + ".weight\": {\"dtype\": \"BF16\", \"shape\": " + std::string(wrong.shape)
                         + ", \"data_offsets\": [0, 0]}, ");
    write_safetensors(model.dir / "model.safetensors", header, 1 << 20);
    const std::vector<audit::Finding> findings = model.findings();
    REQUIRE(findings.size() == (wrong.rule.empty() ? 0 : 1));
    if (!findings.empty()) {
      CHECK(findings.front().id == wrong.rule);
      CHECK(findings.front().pointer == wrong.key);
    }
  }
}

TEST_CASE("an index that names no shard, or one outside the directory, is a finding that says so",
          "[audit]") {
  const Model model;
  const auto only_finding = [&](const std::string& shard) {
    REQUIRE(write_file(model.dir / "model.safetensors.index.json",
                       "{\"weight_map\": {\"model.layers.0.self_attn.kv_b_proj.weight\": " + shard
                           + "}}"));
    const std::vector<audit::Finding> findings = model.findings();
    REQUIRE(findings.size() == 1);
    return findings.front();
  };
  CHECK(only_finding("3").id == "MLA905");
  CHECK(only_finding("null").id == "MLA905");
  for (const std::string shard : {"\"../other/model.safetensors\"", "\"/etc/passwd\""}) {
    const audit::Finding finding = only_finding(shard);
    CHECK(finding.id == "MLA905");
    CHECK(finding.message.find(shard + " is refused: it lies outside the directory")
          != std::string::npos);
  }
  CHECK(only_finding("\"..model.safetensors\"").id == "MLA407");
}

TEST_CASE("shards that are missing make one finding", "[audit]") {
  const Model model;
  std::string map;
  for (const std::string layer : {"0", "1", "2"}) {
    map += (map.empty() ? "\"" : ", \"") + std::string("model.layers.") + layer
           + ".self_attn.kv_b_proj.weight\": \"model-" + layer + ".safetensors\"";
  }
  REQUIRE(
      write_file(model.dir / "model.safetensors.index.json", "{\"weight_map\": {" + map + "}}"));
  const std::vector<audit::Finding> findings = model.findings();
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().id == "MLA407");
  CHECK(
      findings.front().message.starts_with("model-0.safetensors holds attention by the index, and "
                                           "is not there; nor are 2 more such shards"));
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
    const std::vector<audit::Finding> findings = model.findings();
    REQUIRE(findings.size() == 1);
    CHECK(findings.front().id == "MLA905");
  }
  REQUIRE(write_file(model.dir / "model.safetensors", std::string(7, '\xFF')));
  CHECK(model.findings().at(0).id == "MLA905");
  REQUIRE(write_file(model.dir / "model.safetensors", std::string(64, '\xFF')));
  CHECK(model.findings().at(0).id == "MLA905");
}
