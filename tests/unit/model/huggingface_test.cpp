#include "support/catch.hpp"

#include <mla_scale/model/load.hpp>

using namespace mla_scale;
using namespace mla_scale::model;

namespace {

/// A deepseek_v3 config with `more` appended to its members.
LoadedModel with(const std::string& more) {
  return load_model_text(
      R"({"model_type": "deepseek_v3", "num_attention_heads": 4, "max_position_embeddings": 163840)"
          + (more.empty() ? "" : ", " + more) + "}",
      "config.json");
}

const MlaConfig& config_of(const LoadedModel& model) {
  REQUIRE(model.config() != nullptr);
  return *model.config();
}

} // namespace

TEST_CASE("class defaults fill in for missing keys and say so", "[model]") {
  const LoadedModel model = with("");
  const MlaConfig& config = config_of(model);
  CHECK(*config.dims.kv_lora_rank == 512);
  CHECK(config.dims.kv_lora_rank.origin.kind == Origin::Kind::defaulted);
  CHECK(config.dims.kv_lora_rank.origin.reason.find("transformers 5.17.0") != std::string::npos);
  CHECK(config.dims.num_attention_heads.was_read());
  CHECK(config.dims.num_attention_heads.origin.position.line == 1);
  CHECK(*config.rope.type == "default");
}

// Expected choices: transformers 5.17.0, executed on DeepseekV3Config with these dictionaries.
TEST_CASE("rope_scaling wins over rope_parameters unless it is null or empty", "[model]") {
  const std::string parameters =
      R"("rope_parameters": {"rope_type": "yarn", "factor": 8, "rope_theta": 5000})";
  const LoadedModel both = with(R"("rope_scaling": {"type": "yarn", "factor": 40}, )" + parameters);
  CHECK(*config_of(both).rope.factor == 40);
  CHECK(config_of(both).rope.containers_differ);
  CHECK(*config_of(with(R"("rope_scaling": null, )" + parameters)).rope.factor == 8);
  CHECK(*config_of(with(R"("rope_scaling": {}, )" + parameters)).rope.factor == 8);
}

TEST_CASE("rope_type wins over type, and neither means default", "[model]") {
  CHECK(
      *config_of(with(R"("rope_scaling": {"type": "yarn", "rope_type": "default", "factor": 40})"))
           .rope.type
      == "default");
  CHECK(
      *config_of(with(R"("rope_scaling": {"type": "default", "rope_type": "yarn", "factor": 40})"))
           .rope.type
      == "yarn");
  CHECK(*config_of(with(R"("rope_scaling": {"factor": 40})")).rope.type == "default");
}

TEST_CASE("rope_theta inside the dictionary wins over the one outside", "[model]") {
  const LoadedModel model = with(
      R"("rope_theta": 10000, "rope_parameters": {"rope_type": "yarn", "factor": 40, "rope_theta": 5000})");
  CHECK(*config_of(model).rope.theta == 5000);
  CHECK(*config_of(model).rope.theta_outside == 10000);
}

TEST_CASE("of nested per-layer dictionaries the one of the full-attention layers is taken",
          "[model]") {
  const LoadedModel model =
      with(R"("rope_parameters": {"sliding_attention": {"rope_type": "default"},
      "full_attention": {"rope_type": "yarn", "factor": 40, "mscale_all_dim": 1.0}})");
  CHECK(*config_of(model).rope.type == "yarn");
  CHECK(config_of(model).rope.layer == "full_attention");
  CHECK(config_of(model).rope.factor.origin.pointer == "/rope_parameters/full_attention/factor");
}

TEST_CASE("the text model is found under each name that wrappers use", "[model]") {
  for (const std::string name : {"text_config", "language_config", "llm_config"}) {
    const LoadedModel model = load_model_text(
        R"({"architectures": ["SomeWrapper"], "model_type": "wrapper", ")" + name
            + R"(": {"model_type": "deepseek_v2", "num_attention_heads": 16, "kv_lora_rank": 512}})",
        "config.json");
    CHECK(config_of(model).text_pointer == "/" + name);
    CHECK(config_of(model).family->id == "deepseek_v2");
    CHECK(config_of(model).dims.kv_lora_rank.origin.pointer == "/" + name + "/kv_lora_rank");
  }
}

TEST_CASE("DeepSeek V4 is told from compress_ratios when nothing names it", "[model]") {
  const LoadedModel model = load_model_text(
      R"({"num_attention_heads": 8, "head_dim": 128, "qk_rope_head_dim": 64, "compress_ratios": [0, 4]})",
      "config.json");
  CHECK(config_of(model).attention == AttentionKind::shared_kv);
  CHECK(config_of(model).family_guessed);
}

TEST_CASE("a model whose MLA is switched off is not MLA, with the key that says so", "[model]") {
  CHECK(with(R"("use_mla": false)").not_mla()->reason.find("use_mla is false")
        != std::string::npos);
  CHECK(with(R"("kv_lora_rank": null)").not_mla()->reason.find("kv_lora_rank is null")
        != std::string::npos);
  CHECK(with(R"("use_mla": 1)").config() != nullptr);
}

TEST_CASE("published configs of other kinds may hold Infinity, one that is judged may not",
          "[model]") {
  CHECK(
      load_model_text(
          R"({"architectures": ["NemotronHForCausalLM"], "time_step_limit": [0.0, Infinity]})", "c")
          .not_mla()
      != nullptr);
  const LoadedModel model = with("\"other\": Infinity");
  REQUIRE(model.error() != nullptr);
  CHECK(model.error()->position.line == 1);
}

TEST_CASE("every family is found by each of its names", "[model]") {
  for (const Family& family : families()) {
    INFO(family.id);
    CHECK(!family.source.empty());
    CHECK(!family.title.empty());
    CHECK(!family.formula.empty());
    std::string_view names = family.model_types;
    while (!names.empty()) {
      const std::size_t space = names.find(' ');
      const Family* found = find_family_by_model_type(names.substr(0, space));
      REQUIRE(found != nullptr);
      CHECK(found->id == family.id);
      names.remove_prefix(space == std::string_view::npos ? names.size() : space + 1);
    }
  }
}

TEST_CASE("a text model two levels down is found", "[model]") {
  const LoadedModel model = load_model_text(
      R"({"model_type": "some_omni", "vision_config": {"v_head_dim": 64},
          "thinker_config": {"audio_config": {}, "text_config": {"model_type": "deepseek_v3",
            "num_attention_heads": 4, "kv_lora_rank": 256, "qk_nope_head_dim": 128}}})",
      "config.json");
  const MlaConfig& config = config_of(model);
  CHECK(config.text_pointer == "/thinker_config/text_config");
  CHECK(*config.dims.kv_lora_rank == 256);
  CHECK(config.family->id == "deepseek_v3");
  const LoadedModel lacking = load_model_text(
      R"({"a": {"b": {"model_type": "new_mla", "kv_lora_rank": 256, "qk_nope_head_dim": 128}}})",
      "config.json");
  REQUIRE(lacking.error() != nullptr);
}
