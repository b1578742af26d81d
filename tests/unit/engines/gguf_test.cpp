// Expected values: Python, from the graph and context code of llama.cpp that the rows name
// (kq_scale of deepseek2), apart from this code.

#include "engine_support.hpp"
#include "support/gguf_builder.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>

using namespace mla_scale;
using namespace engine_test;

namespace {

/// DeepSeek-V3 in llama.cpp's MLA layout, without rope scaling.
GgufBuilder deepseek_v3() {
  GgufBuilder builder;
  builder.text("general.architecture", "deepseek2")
      .u32("deepseek2.block_count", 61)
      .u32("deepseek2.context_length", 163840)
      .u32("deepseek2.embedding_length", 7168)
      .u32("deepseek2.attention.head_count", 128)
      .u32("deepseek2.attention.head_count_kv", 1)
      .u32("deepseek2.attention.kv_lora_rank", 512)
      .u32("deepseek2.attention.key_length", 576)
      .u32("deepseek2.attention.value_length", 512)
      .u32("deepseek2.attention.key_length_mla", 192)
      .u32("deepseek2.attention.value_length_mla", 128)
      .u32("deepseek2.rope.dimension_count", 64);
  return builder;
}

GgufBuilder with_factor(const char* type) {
  GgufBuilder builder = deepseek_v3();
  if (type != nullptr) {
    builder.text("deepseek2.rope.scaling.type", type);
  }
  builder.f32("deepseek2.rope.scaling.factor", 40.0F)
      .u32("deepseek2.rope.scaling.original_context_length", 4096);
  return builder;
}

model::LoadedModel load(const TempDir& dir, const GgufBuilder& builder) {
  const std::string path = (dir / "model.gguf").string();
  REQUIRE(write_file(path, builder.bytes()));
  return model::load_model({path, path});
}

} // namespace

TEST_CASE("a complete yarn GGUF is right in every era but Ollama's, which takes key_length",
          "[engines]") {
  const TempDir dir;
  const auto model =
      load(dir, with_factor("yarn").f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1F));
  check(model, {{"llama.cpp", k_v3},
                {"llama.cpp@17945", k_v3},
                {"llama.cpp@7519", k_v3},
                {"ik-llama.cpp", k_v3},
                {"mistral.rs", k_v3},
                {"tinygrad", k_plain},
                {"ollama", 0.07807725862885943}});
  CHECK(evaluate(model, "llama.cpp").cos_sin_factor == 1.0);
}

TEST_CASE("yarn without yarn_log_multiplier still takes the square in llama.cpp since #18006",
          "[engines]") {
  const TempDir dir;
  const auto model = load(dir, with_factor("yarn"));
  check(model, {{"llama.cpp", k_v3},
                {"llama.cpp@17945", k_plain},
                {"llama.cpp@7519", k_plain},
                {"ik-llama.cpp", k_plain}});
  CHECK(*evaluate(model, "llama.cpp").cos_sin_factor == Approx(k_magnitude).epsilon(1e-14));
  // The law too: m(1) / m(0), deepseek2 takes mscale for mscale_all_dim only where that is not 0.
  const auto law = scale::derive_softmax_scale(*model.config());
  REQUIRE(law);
  CHECK(*law->cos_sin_factor == Approx(k_magnitude).epsilon(1e-14));
  REQUIRE(law->alternatives.size() == 2);
  CHECK(law->alternatives[0].value == k_plain);
  CHECK(law->alternatives[1].value == Approx(k_v3).epsilon(1e-12));
  CHECK(evaluate(model, "llama.cpp@17945").cos_sin_factor == 1.0);
}

TEST_CASE("a missing type means linear, which llama.cpp multiplies once more", "[engines]") {
  const TempDir dir;
  const auto model =
      load(dir, with_factor(nullptr).f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1F));
  check(model, {{"llama.cpp", 0.253408385459494}, {"ik-llama.cpp", k_v3}});
  CHECK(evaluate(model, "llama.cpp").cos_sin_factor == 1.0);
  CHECK(evaluate(model, "llama.cpp").because.find("linear") != std::string::npos);
}

TEST_CASE("rope.scaling.attn_factor enters the scale squared", "[engines]") {
  const TempDir dir;
  const auto model = load(dir, with_factor("yarn")
                                   .f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1F)
                                   .f32("deepseek2.rope.scaling.attn_factor", 2.0F));
  check(model, {{"llama.cpp", 0.5409351154435204},
                {"llama.cpp@17945", 0.5409351154435204},
                {"llama.cpp@7519", 0.5409351154435204},
                {"ik-llama.cpp", 0.5409351154435204}});
  CHECK(evaluate(model, "llama.cpp").cos_sin_factor == 2.0);
  CHECK(evaluate(model, "llama.cpp@17945").cos_sin_factor == 2.0);
}

// llama-context.cpp: rope scaling type none sets freq_scale to 1, and without a factor it is 1.
TEST_CASE("rope.scaling.type none and a missing factor leave the scale alone", "[engines]") {
  const TempDir dir;
  GgufBuilder yarn_alone = deepseek_v3();
  yarn_alone.text("deepseek2.rope.scaling.type", "yarn");
  for (const GgufBuilder& builder : {with_factor("none"), deepseek_v3(), yarn_alone}) {
    GgufBuilder with_multiplier = builder;
    with_multiplier.f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1F);
    const auto model = load(dir, with_multiplier);
    check(model, {{"llama.cpp", k_plain},
                  {"llama.cpp@17945", k_plain},
                  {"llama.cpp@7519", k_plain},
                  {"ik-llama.cpp", k_plain}});
    CHECK(evaluate(model, "llama.cpp").cos_sin_factor == 1.0);
  }
}

TEST_CASE("V2's multiplier, stored in 32 bits, is 0.707 again", "[engines]") {
  const TempDir dir;
  const auto model =
      load(dir, with_factor("yarn").f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707F));
  check(model, {{"llama.cpp", 0.11472138679292611}, {"llama.cpp@7519", 0.11472138679292611}});
  CHECK(evaluate(model, "llama.cpp").agrees == true);
  // mistral.rs fixes mscale at 1 when it reads GGUF
  CHECK(*evaluate(model, "mistral.rs").cos_sin_factor == Approx(1.0857263992561355).epsilon(1e-12));
}

TEST_CASE("engines that read config.json do not take a GGUF", "[engines]") {
  const TempDir dir;
  const auto model = load(dir, with_factor("yarn"));
  for (const std::string_view id : {"vllm", "transformers", "megatron-lm"}) {
    const engines::EngineValue value = evaluate(model, id);
    CHECK_FALSE(value.agrees);
    CHECK_FALSE(value.prefill);
    CHECK(value.error.empty());
    CHECK_FALSE(value.because.empty());
  }
}

// model/models/deepseek2/model.go: key_length_mla is required; the root is of key_length.
TEST_CASE("Ollama needs key_length_mla and a factor in the GGUF", "[engines]") {
  const TempDir dir;
  GgufBuilder legacy;
  legacy.text("general.architecture", "deepseek2")
      .u32("deepseek2.attention.head_count", 128)
      .u32("deepseek2.attention.kv_lora_rank", 512)
      .u32("deepseek2.attention.key_length", 192)
      .u32("deepseek2.attention.value_length", 128)
      .u32("deepseek2.rope.dimension_count", 64);
  const engines::EngineValue refused = evaluate(load(dir, legacy), "ollama");
  CHECK(refused.error == "attention.key_length_mla is 0");
  CHECK_FALSE(refused.prefill);
  CHECK(*evaluate(load(dir, legacy), "llama.cpp").prefill == Approx(k_plain).epsilon(1e-12));
  CHECK(evaluate(load(dir, deepseek_v3()), "ollama").error == "NaN: 0 * ln(0)");
}
