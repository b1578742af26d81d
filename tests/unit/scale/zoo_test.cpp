// The shipped zoo against testdata/expected-inspect.json: sizes and scales typed from published
// configs, from transformers 5.17.0 executed, or by hand, as each row's `source` says.

#include "support/catch.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/model/load.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <fstream>
#include <sstream>

using namespace mla_scale;

namespace {

template <typename T>
void check_number(const json::Value& expected, std::string_view key,
                  const std::optional<T>& actual) {
  INFO(key);
  const auto value = expected.find(key);
  REQUIRE(value);
  if (value->is_null()) {
    CHECK(!actual);
    return;
  }
  REQUIRE(actual);
  CHECK(static_cast<double>(*actual) == Approx(value->as_number().value()).epsilon(1e-12));
}

} // namespace

TEST_CASE("every config of the zoo has the sizes and the scale of its published source",
          "[scale][zoo]") {
  const auto text = read_file(std::string(TESTDATA) + "/expected-inspect.json", 1 << 20);
  REQUIRE(text);
  const auto document = json::Document::parse(*text, "expected-inspect.json");
  REQUIRE(document);
  std::size_t mla = 0;
  std::size_t other = 0;
  for (auto row = document->root().first(); row; row = row->next()) {
    const std::string source = std::string(TESTDATA) + "/zoo/" + std::string(row->key());
    INFO(row->key());
    const model::LoadedModel model = model::load_model({source, source});
    const std::string attention(row->find("attention")->as_string().value());
    if (attention == "none") {
      ++other;
      CHECK(model.not_mla() != nullptr);
      continue;
    }
    ++mla;
    REQUIRE(model.config() != nullptr);
    const model::MlaConfig& config = *model.config();
    CHECK(to_string(config.attention) == attention);
    CHECK(config.family->id == row->find("family")->as_string().value());
    CHECK(config.rope.type.value_or("") == row->find("rope_type")->as_string().value());
    check_number(*row, "num_attention_heads", config.dims.num_attention_heads.value);
    check_number(*row, "q_lora_rank", config.dims.q_lora_rank.value);
    check_number(*row, "kv_lora_rank", config.dims.kv_lora_rank.value);
    check_number(*row, "qk_nope_head_dim", config.dims.qk_nope_head_dim.value);
    check_number(*row, "qk_rope_head_dim", config.dims.qk_rope_head_dim.value);
    check_number(*row, "v_head_dim", config.dims.v_head_dim.value);
    const auto scale = scale::derive_softmax_scale(config);
    REQUIRE(scale);
    check_number<double>(*row, "softmax_scale", scale->prefill);
    check_number<double>(*row, "softmax_scale", scale->decode);
    check_number<double>(*row, "cos_sin_factor", scale->cos_sin_factor);
    CHECK(scale->disputed == row->find("disputed")->as_boolean().value());
  }
  CHECK(mla >= 35);
  CHECK(other >= 12);
}

#ifdef SHARED_ZOO
TEST_CASE("a larger zoo beside the project agrees with its manifest", "[scale][zoo]") {
  std::ifstream manifest(std::string(SHARED_ZOO) + "/MANIFEST.tsv");
  std::size_t checked = 0;
  std::string line;
  std::getline(manifest, line);
  while (std::getline(manifest, line)) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, '\t');) {
      cells.push_back(cell);
    }
    constexpr std::size_t k_kind = 2;
    constexpr std::size_t k_scale = 21;
    if (cells.size() <= k_scale
        || (cells[k_kind] != "MLA" && !cells[k_kind].starts_with("DeepSeek-V4"))) {
      continue;
    }
    const std::string source = std::string(SHARED_ZOO) + "/" + cells[0] + "/" + cells[1];
    INFO(source);
    const model::LoadedModel model = model::load_model({source, source});
    REQUIRE(model.config() != nullptr);
    const auto scale = scale::derive_softmax_scale(*model.config());
    REQUIRE(scale);
    CHECK(scale->prefill
          == Approx(std::stod(cells[k_scale])).epsilon(1e-9)); // the manifest has ten digits
    ++checked;
  }
  CHECK(checked > 30);
}
#endif
