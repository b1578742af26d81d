// What inspect adds to the derivation: findings in the audit's words and places, and the disputes
// about GGUF files. Expected scales: Python, from llama.cpp's code, as in gguf_test.cpp.

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/audit/check.hpp>
#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/report/inspect_json.hpp>
#include <mla_scale/report/inspection.hpp>

#include <algorithm>

using namespace mla_scale;

namespace {

constexpr double k_v3 = 0.1352337788608801;

std::string config(const std::string& model_type, const std::string& rope) {
  return "{\n  \"model_type\": \"" + model_type + R"(",
  "num_attention_heads": 4, "hidden_size": 256, "q_lora_rank": null,
  "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
  "max_position_embeddings": 163840, "rope_theta": 10000,
  )" + rope
         + "\n}";
}

report::Inspection inspect(const std::string& json) {
  return report::inspect(model::load_model_text(json, "config.json"));
}

report::Inspection inspect(const GgufBuilder& builder) {
  const TempDir dir;
  const std::string path = (dir / "model.gguf").string();
  REQUIRE(write_file(path, builder.bytes()));
  return report::inspect(model::load_model({path, path}));
}

/// DeepSeek-V3 with factor 40 and its multiplier; `type` may be null.
GgufBuilder gguf(const char* type) {
  GgufBuilder builder;
  builder.text("general.architecture", "deepseek2")
      .u32("deepseek2.attention.head_count", 128)
      .u32("deepseek2.attention.kv_lora_rank", 512)
      .u32("deepseek2.attention.key_length", 576)
      .u32("deepseek2.attention.value_length", 512)
      .u32("deepseek2.attention.key_length_mla", 192)
      .u32("deepseek2.attention.value_length_mla", 128)
      .u32("deepseek2.rope.dimension_count", 64)
      .f32("deepseek2.rope.scaling.factor", 40.0F)
      .f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1F);
  if (type != nullptr) {
    builder.text("deepseek2.rope.scaling.type", type);
  }
  return builder;
}

void check_disputed(const report::Inspection& inspection, double other, std::string_view key) {
  REQUIRE(inspection.scale);
  const scale::SoftmaxScale& scale = *inspection.scale;
  CHECK(scale.prefill == Approx(k_v3).epsilon(1e-7)); // the file has 32 bits
  CHECK(scale.disputed);
  CHECK(scale.deciding_key == key);
  REQUIRE(scale.alternatives.size() == 2);
  CHECK(scale.alternatives[0].value == scale.prefill);
  CHECK(scale.alternatives[1].value == Approx(other).epsilon(1e-7));
  const std::vector<std::string>& engines = scale.alternatives[1].engines;
  CHECK(std::find(engines.begin(), engines.end(), "llama.cpp") != engines.end());
}

} // namespace

TEST_CASE("a GGUF that llama.cpp scales otherwise is disputed", "[report]") {
  check_disputed(inspect(gguf("linear")), 0.253408385459494, "deepseek2.rope.scaling.type");
  check_disputed(inspect(gguf(nullptr)), 0.253408385459494, "deepseek2.rope.scaling.type");
  GgufBuilder doubled = gguf("yarn");
  doubled.f32("deepseek2.rope.scaling.attn_factor", 2.0F);
  check_disputed(inspect(doubled), 0.5409351154435204, "deepseek2.rope.scaling.attn_factor");
  CHECK_FALSE(inspect(gguf("yarn")).scale->disputed);
}

TEST_CASE("a finding of inspect has the id and the place of the audit's", "[report]") {
  const std::string yarn = R"("factor": 40, "original_max_position_embeddings": 4096)";
  const std::string all_dim = R"(, "mscale": 1.0, "mscale_all_dim": 1.0)";
  const struct {
    std::string_view id;
    std::string json;
  } cases[] = {
      {"MLA119", config("no_such_model", R"("rope_scaling": null)")},
      {"MLA103", config("deepseek_v2", R"("qk_head_dim": 256)")},
      {"MLA201",
       config("deepseek_v3", "\"rope_scaling\": {\n\"type\": \"linear\",\n\"rope_type\": \"yarn\", "
                                 + yarn + "}")},
      {"MLA202", config("deepseek_v3", "\"rope_scaling\": {\"rope_type\": \"yarn\", " + yarn
                                           + "},\n\"rope_parameters\": {\"factor\": 32}")},
      {"MLA206", config("deepseek_v3", "\"rope_scaling\":\n{" + yarn + "}")},
      {"MLA224", config("deepseek_v3", R"("rope_scaling": {"rope_type": "yarn", "factor": 40})")},
      {"MLA230",
       config("deepseek_v3",
              "\"rope_parameters\": {\n\"rope_type\": \"default\", \"rope_theta\": 1e6}")},
      {"MLA308", config("deepseek_v3", "\"rope_scaling\": {\"rope_type\": \"yarn\", " + yarn
                                           + all_dim + ",\n\"attention_factor\": 1.0}")},
      {"MLA309", config("deepseek_v3", "\"rope_scaling\": {\"rope_type\": \"yarn\", " + yarn
                                           + all_dim + ",\n\"apply_yarn_scaling\": false}")},
      {"MLA320", config("mistral4",
                        "\"rope_parameters\": {\"rope_type\": \"yarn\", " + yarn + all_dim + "}")},
  };
  for (const auto& [id, json] : cases) {
    INFO(id << "\n" << json);
    const report::Inspection inspection = inspect(json);
    REQUIRE(inspection.findings.size() == 1);
    const report::Note& note = inspection.findings.front();
    REQUIRE(note.rule != nullptr);
    CHECK(note.rule->id == id);
    const std::vector<audit::Finding> audited =
        audit::check_config(*inspection.model.config(), {{std::string(id)}, {}});
    REQUIRE(audited.size() == 1);
    CHECK(note.pointer == audited.front().pointer);
    CHECK(note.position.line == audited.front().position.line);
    CHECK(note.position.column == audited.front().position.column);

    const report::Inspection all[] = {inspection};
    const auto document = json::Document::parse(report::inspect_json(all), "out");
    REQUIRE(document);
    INFO(report::inspect_json(all));
    const auto finding = document->root().find("models")->first()->find("findings")->first();
    REQUIRE(finding);
    CHECK(finding->find("id")->as_string().value() == id);
    CHECK(finding->find("slug")->as_string().value() == audited.front().slug);
    CHECK(finding->find("severity")->as_string().value()
          == audit::to_string(audited.front().severity));
    CHECK(finding->find("path")->as_string().value() == "config.json");
    CHECK(finding->find("help")->as_string().value() == audited.front().help);
  }
}

TEST_CASE("inspect and the audit miss a factor at the same place", "[report]") {
  const report::Inspection inspection =
      inspect(config("deepseek_v3", "\"rope_scaling\":\n    {\n\"rope_type\": \"yarn\",\n"
                                    "\"mscale_all_dim\": 1.0}"));
  REQUIRE(inspection.error);
  const std::vector<audit::Finding> audited =
      audit::check_config(*inspection.model.config(), {{"MLA220"}, {}});
  REQUIRE(audited.size() == 1);
  CHECK(inspection.error->pointer == audited.front().pointer);
  CHECK(inspection.error->position.line == audited.front().position.line);
  CHECK(inspection.error->position.column == audited.front().position.column);
  // By hand: the brace of the dictionary.
  CHECK(inspection.error->position.line == 7);
  CHECK(inspection.error->position.column == 5);
}
