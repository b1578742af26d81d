#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/model/load.hpp>

#include <cstring>

using namespace mla_scale;
using namespace mla_scale::model;

namespace {

/// DeepSeek-V3's keys as current converters write them (facts: engines.md 4.4).
GgufBuilder deepseek_v3(std::uint32_t version = 3) {
  GgufBuilder builder(version);
  builder.text("general.architecture", "deepseek2")
      .u32("deepseek2.block_count", 61)
      .u32("deepseek2.context_length", 163840)
      .u32("deepseek2.embedding_length", 7168)
      .u32("deepseek2.attention.head_count", 128)
      .u32("deepseek2.attention.head_count_kv", 1)
      .u32("deepseek2.attention.q_lora_rank", 1536)
      .u32("deepseek2.attention.kv_lora_rank", 512)
      .u32("deepseek2.attention.key_length", 576)
      .u32("deepseek2.attention.value_length", 512)
      .u32("deepseek2.attention.key_length_mla", 192)
      .u32("deepseek2.attention.value_length_mla", 128)
      .strings("tokenizer.ggml.tokens", 50)
      .u32("deepseek2.rope.dimension_count", 64)
      .f32("deepseek2.rope.freq_base", 10000.0F);
  return builder;
}

GgufBuilder with_yarn(GgufBuilder builder) {
  builder.text("deepseek2.rope.scaling.type", "yarn")
      .f32("deepseek2.rope.scaling.factor", 40.0F)
      .u32("deepseek2.rope.scaling.original_context_length", 4096)
      .f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707F);
  return builder;
}

LoadedModel load(const TempDir& dir, const std::string& bytes) {
  const std::string path = (dir / "model.gguf").string();
  REQUIRE(write_file(path, bytes));
  return load_model({path, path});
}

} // namespace

TEST_CASE("the MLA key layout gives the width before absorption, not the latent one",
          "[model][gguf]") {
  const TempDir dir;
  for (const std::uint32_t version : {2U, 3U}) {
    const LoadedModel model = load(dir, with_yarn(deepseek_v3(version)).bytes());
    REQUIRE(model.config() != nullptr);
    CHECK(*model.config()->dims.qk_head_dim == 192);
    CHECK(*model.config()->dims.qk_nope_head_dim == 128);
    CHECK(*model.config()->dims.v_head_dim == 128);
    CHECK(*model.config()->dims.latent_dim == 576);
    // 0.0707 as a float32 must come back as 0.707, which the converter multiplied by 0.1
    CHECK(*model.config()->rope.mscale_all_dim == 0.707);
    CHECK(*model.config()->rope.factor == 40.0);
  }
}

TEST_CASE("the legacy key layout is understood too", "[model][gguf]") {
  const TempDir dir;
  GgufBuilder builder;
  builder.text("general.architecture", "deepseek2")
      .u32("deepseek2.attention.head_count", 16)
      .u32("deepseek2.attention.head_count_kv", 16)
      .u32("deepseek2.attention.kv_lora_rank", 512)
      .u32("deepseek2.attention.key_length", 192)
      .u32("deepseek2.attention.value_length", 128)
      .u32("deepseek2.rope.dimension_count", 64);
  const LoadedModel model = load(dir, builder.bytes());
  REQUIRE(model.config() != nullptr);
  CHECK(*model.config()->dims.qk_head_dim == 192);
  CHECK(*model.config()->rope.type == "default");
}

TEST_CASE("a missing scaling type means linear when there is a factor", "[model][gguf]") {
  const TempDir dir;
  GgufBuilder builder = deepseek_v3();
  builder.f32("deepseek2.rope.scaling.factor", 4.0F);
  const LoadedModel model = load(dir, builder.bytes());
  REQUIRE(model.config() != nullptr);
  CHECK(*model.config()->rope.type == "linear");
}

TEST_CASE("an architecture without a latent rank is not MLA", "[model][gguf]") {
  const TempDir dir;
  GgufBuilder builder;
  builder.text("general.architecture", "llama").u32("llama.attention.head_count", 32);
  CHECK(load(dir, builder.bytes()).not_mla() != nullptr);
}

TEST_CASE("a GGUF cut at any byte is an error or, after its keys, still whole", "[model][gguf]") {
  const TempDir dir;
  const std::string bytes = with_yarn(deepseek_v3()).bytes();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO("cut after " << length << " bytes");
    CHECK(load(dir, bytes.substr(0, length)).error() != nullptr);
  }
  CHECK(load(dir, bytes + "tensor data").config() != nullptr);
}
