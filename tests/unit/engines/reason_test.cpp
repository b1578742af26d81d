// Each reason must name something that really changes the number. Expected causes: read off the
// formulas and gates that the rows name; the numbers of these cases stand in golden_test.cpp.

#include "engine_support.hpp"
#include "support/gguf_builder.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>

#include <fmt/format.h>

#include <optional>

using namespace mla_scale;
using namespace engine_test;

namespace {

std::string because(const std::string& json, std::string_view id) {
  return evaluate(json, id).because;
}

void check_cause(const std::string& json, std::string_view id, std::string_view cause) {
  const std::string reason = because(json, id);
  INFO(id << ": " << reason);
  CHECK(reason.find(cause) != std::string::npos);
}

/// A rope_scaling with the keys of V3 and another type.
std::string scaling(const std::string& type, const std::string& more) {
  return fmt::format(R"("rope_scaling": {{"type": "{0}", "rope_type": "{0}", "factor": 40, )"
                     R"("original_max_position_embeddings": 4096, {1}}})",
                     type, more);
}

} // namespace

TEST_CASE("with equal mscale keys the switch is the cause, not the key", "[engines]") {
  const std::string off =
      config("deepseek_v3", yarn(k_equal_keys + R"(, "apply_yarn_scaling": false)"));
  for (const std::string_view id : {"deepseek-inference", "torchtitan", "maxtext", "nemo-automodel",
                                    "chitu", "megatron-lm@0.13", "vllm-ascend-xlite",
                                    "transformers", "vllm", "llama.cpp", "llama.cpp@7519"}) {
    check_cause(off, id, "does not look at apply_yarn_scaling");
  }
}

TEST_CASE("no reason tells two equal numbers apart", "[engines]") {
  const std::string keys[] = {k_equal_keys, R"("mscale": 0.707, "mscale_all_dim": 0.707)",
                              R"("mscale": 0, "mscale_all_dim": 0)"};
  const std::string extra[] = {"", R"(, "apply_yarn_scaling": false)",
                               R"(, "attention_factor": 1.0)", R"(, "attention_factor": 1.3)",
                               R"(, "attn_factor": 1.2)"};
  for (const std::string& pair : keys) {
    for (const std::string& more : extra) {
      for (const std::string type : {"yarn", "linear", "default", "deepseek_yarn"}) {
        const std::string json = config("deepseek_v3", scaling(type, pair + more));
        for (const engines::EngineRule& rule : engines::engine_rules()) {
          const std::string reason = because(json, rule.id);
          INFO(type << " " << pair << more << " " << rule.id << ": " << reason);
          for (const std::string_view number : {"0", "0.707", "1"}) {
            CHECK(reason.find(fmt::format("mscale ({0}), not mscale_all_dim ({0})", number))
                  == std::string::npos);
            CHECK(reason.find(fmt::format("the constant {0} for mscale_all_dim ({0})", number))
                  == std::string::npos);
          }
        }
      }
    }
  }
}

TEST_CASE("a length gate does not ask for the rope type", "[engines]") {
  const std::string json = config("deepseek_v3", scaling("default", k_equal_keys));
  CHECK(*evaluate(json, "deepseek-inference").prefill == Approx(0.1352337788608801).epsilon(1e-12));
  check_cause(json, "deepseek-inference",
              "its length gate does not ask for the rope type (\"default\")");
  check_cause(json, "sglang", "applies mscale whatever the rope type (\"default\")");
}

TEST_CASE("where an open gate would change nothing, the key is named too", "[engines]") {
  const std::string json =
      config("deepseek_v3", scaling("linear", R"("mscale": 0, "mscale_all_dim": 1.0)"));
  check_cause(json, "torchtitan", "reads mscale (0), not mscale_all_dim (1)");
}

TEST_CASE("the key type is no cause when rope_type would not open the gate either", "[engines]") {
  const std::string json =
      config("deepseek_v3", R"("rope_scaling": {"rope_type": "linear", "factor": 40, )"
                            R"("original_max_position_embeddings": 4096, "mscale": 1.0, )"
                            R"("mscale_all_dim": 1.0})");
  check_cause(json, "vllm.rs", "type must be exactly yarn; there is only rope_type, \"linear\"");
}

TEST_CASE("the reason for another cos/sin factor names what makes it", "[engines]") {
  const std::string split = R"("mscale": 1.0, "mscale_all_dim": 0.707)";
  check_cause(config("deepseek_v3", scaling("deepseek_yarn", split)), "megatron-bridge",
              "type must be exactly yarn");
  check_cause(config("deepseek_v3", R"("rope_scaling": {"rope_type": "yarn", "factor": 40, )"
                                    R"("original_max_position_embeddings": 4096, "mscale": 0.7})"),
              "candle", "reads the key type");
  check_cause(config("deepseek_v3", yarn(k_equal_keys + R"(, "attention_factor": 1.3)")),
              "llama.cpp", "GGUF has no key for attention_factor");
  check_cause(config("deepseek_v3", scaling("linear", split)), "vllm",
              "turns the rope type \"linear\" into YaRN");
  check_cause(config("deepseek_v3", yarn(k_equal_keys + R"(, "attn_factor": 1.2)")), "vllm",
              "attn_factor 1.2");
  check_cause(config("deepseek_v3", yarn(k_equal_keys + R"(, "attention_factor": 1.3)")), "sglang",
              "attention_factor is not known to it");
  check_cause(config("deepseek_v3", yarn(R"("mscale": 0.707)")), "megatron-lm@0.13",
              "mscale_all_dim (missing) 1");
  check_cause(config("deepseek_v3", yarn(split), 65536), "transformers@4.51",
              "max_position_embeddings / original = 16");
}

TEST_CASE("a switch is the cause of another cos/sin factor only without mscale keys", "[engines]") {
  const auto reason = [](const std::string& type, const std::string& more) {
    return because(
        config("deepseek_v3", R"("rope_scaling": {"type": ")" + type
                                  + R"(", "factor": 40, "original_max_position_embeddings": 4096, )"
                                  + more + "}"),
        "sglang");
  };
  const std::string off = R"("apply_yarn_scaling": false)";
  CHECK(reason("yarn", off)
        == "multiplies cos and sin by 1.36889, not 1: apply_yarn_scaling false does not count "
           "here; g(factor, mscale (missing) 1) / g(factor, mscale_all_dim (missing) 0)");
  // TeleChat3's own factor, 0.07 ln(factor) + 1, differs from DeepSeek's whatever the switch says.
  for (const std::string& more : {off + R"(, "mscale": 1.0)", off + R"(, "mscale_all_dim": 0.707)",
                                  std::string(R"("apply_yarn_scaling": true)")}) {
    const std::string text = reason("telechat3-yarn", more);
    INFO(more << ": " << text);
    CHECK(text.find("multiplies cos and sin") != std::string::npos);
    CHECK(text.find("does not count") == std::string::npos);
  }
}

TEST_CASE("a latent width is the cause alone where there is no mscale to leave out", "[engines]") {
  CHECK(because(config("deepseek_v3", ""), "vllm@32623")
        == "prefill: uses the latent width 576, not 192");
}

TEST_CASE("where the converter drops the scaling, nothing else is the cause", "[engines]") {
  CHECK(because(config("deepseek_v3", scaling("deepseek_yarn", k_equal_keys)), "llama.cpp")
        == "the converter writes no scaling keys for the rope type \"deepseek_yarn\"");
}

TEST_CASE("llama.cpp's reason is the key of the GGUF that does it", "[engines]") {
  const auto reason = [](const char* architecture, std::optional<float> multiplier,
                         float attn_factor, std::string_view id = "llama.cpp") {
    const std::string prefix = std::string(architecture) + ".";
    GgufBuilder builder;
    builder.text("general.architecture", architecture)
        .u32(prefix + "attention.head_count", 128)
        .u32(prefix + "attention.kv_lora_rank", 512)
        .u32(prefix + "attention.key_length", 576)
        .u32(prefix + "attention.value_length", 512)
        .u32(prefix + "attention.key_length_mla", 192)
        .u32(prefix + "attention.value_length_mla", 128)
        .u32(prefix + "rope.dimension_count", 64)
        .text(prefix + "rope.scaling.type", "yarn")
        .f32(prefix + "rope.scaling.factor", 40.0F)
        .f32(prefix + "rope.scaling.attn_factor", attn_factor);
    if (multiplier) {
      builder.f32(prefix + "rope.scaling.yarn_log_multiplier", *multiplier);
    }
    const TempDir dir;
    const std::string path = (dir / "model.gguf").string();
    REQUIRE(write_file(path, builder.bytes()));
    return evaluate(model::load_model({path, path}), id).because;
  };
  CHECK(
      reason("deepseek2", 0.1F, 2)
      == "rope.scaling.attn_factor 2 enters the scale squared; multiplies cos and sin by 2, not 1: "
         "rope.scaling.attn_factor 2");
  CHECK(reason("deepseek32", 0.0707F, 1).find("every architecture but deepseek2")
        != std::string::npos);
  CHECK(reason("glm-dsa", 0.0707F, 1).find("does not read yarn_log_multiplier")
        != std::string::npos);
  // Without a multiplier #17945 had no quotient of magnitudes.
  for (const std::optional<float> multiplier : {std::optional<float>(), std::optional(0.0F)}) {
    const std::string text = reason("deepseek32", multiplier, 2, "llama.cpp@17945");
    INFO(text);
    CHECK(text.starts_with("rope.scaling.attn_factor 2 enters the scale squared"));
    CHECK(text.find("multiplies by (g(factor") == std::string::npos);
  }
}
