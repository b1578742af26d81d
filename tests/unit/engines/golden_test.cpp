// Expected values: written down for each engine by the tests and threads named, or computed in
// Python from the formula of the engine's own source, apart from this code.

#include "engine_support.hpp"

using namespace mla_scale;
using namespace engine_test;

namespace {

constexpr double k_small4 = 0.19496949473302969;       // 128 wide, factor 128
constexpr double k_small4_plain = 0.08838834764831845; // 128^-1/2
constexpr double k_large3 = 0.13316005652453877;       // factor 36

const std::string k_equal = yarn(k_equal_keys);
const std::string k_lite = yarn(R"("mscale": 0.707, "mscale_all_dim": 0.707)");
const std::string k_split = yarn(k_split_keys);

model::LoadedModel zoo(const std::string& file) {
  const std::string path = std::string(TESTDATA) + "/zoo/" + file;
  return model::load_model({path, path});
}

} // namespace

TEST_CASE("the vLLM regression is prefill at the latent width and decode right", "[engines]") {
  check(
      config("deepseek_v3", k_equal),
      {{"vllm@32623", k_latent, k_v3}, {"vllm@41569", k_v3}, {"vllm@41744", k_v3}, {"vllm", k_v3}});
  const engines::EngineValue value = evaluate(config("deepseek_v3", k_equal), "vllm@32623");
  CHECK(value.agrees == false);
  CHECK(value.because.find("latent width 576") != std::string::npos);
}

TEST_CASE("vllm@41569 passes the three cases of TestMLAPrefillScale", "[engines]") {
  const std::string v4 =
      R"({"model_type": "deepseek_v4", "num_attention_heads": 4, "hidden_size": 256, )"
      R"("head_dim": 128, "qk_rope_head_dim": 64, "q_lora_rank": 64, "compress_ratios": [0], )"
      + yarn(R"("mscale_all_dim": 0.707)") + "}";
  CHECK(*evaluate(v4, "vllm@41569").prefill == Approx(k_small4_plain).epsilon(1e-6));
  const std::string default_rope = R"("rope_parameters": {"rope_type": "default"})";
  CHECK(*evaluate(config("deepseek_v3", default_rope), "vllm@41569").prefill == k_plain);
  CHECK(*evaluate(config("deepseek_v3", yarn(R"("mscale_all_dim": 0.707)")), "vllm@41569").prefill
        == Approx(k_v2).epsilon(1e-6));
}

TEST_CASE("what switches mscale off in vLLM changed in 2026-09", "[engines]") {
  const std::string apply = config(
      "deepseek_v3", yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0, "apply_yarn_scaling": false)"));
  check(apply,
        {{"vllm", k_v3}, {"vllm@41744", k_plain}, {"sglang", k_plain}, {"transformers", k_v3}});
  const std::string attention = config(
      "deepseek_v3", yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0, "attention_factor": 1.0)"));
  check(attention, {{"vllm", k_plain}, {"vllm@41744", k_v3}, {"transformers", k_v3}});
}

// sgl-project/sglang#26203 names both numbers.
TEST_CASE("SGLang stopped to apply mscale where apply_yarn_scaling is false", "[engines]") {
  const std::string small4 =
      R"({"model_type": "deepseek_v3", "num_attention_heads": 32, "hidden_size": 4096, )"
      R"("q_lora_rank": 1024, "kv_lora_rank": 256, "qk_nope_head_dim": 64, )"
      R"("qk_rope_head_dim": 64, "v_head_dim": 128, "max_position_embeddings": 1048576, )"
      R"("rope_scaling": {"rope_type": "yarn", "factor": 128, "mscale_all_dim": 1, )"
      R"("original_max_position_embeddings": 8192, "apply_yarn_scaling": false}})";
  CHECK(*evaluate(small4, "sglang").prefill == Approx(0.088388347648).epsilon(1e-11));
  CHECK(*evaluate(small4, "sglang@before-26203").prefill == Approx(0.194969494733).epsilon(1e-11));
}

TEST_CASE("two different mscale keys split the engines", "[engines]") {
  const std::string split = config("deepseek_v2", k_split);
  check(split, {{"vllm", k_v2},
                {"transformers", k_v2},
                {"sglang", k_v2},
                {"tensorrt-llm", k_v2},
                {"megatron-lm", k_v2},
                {"mindformers@research", k_v2},
                {"transformers@4.54", k_plain},
                {"deepseek-inference", k_v3},
                {"torchtitan", k_v3},
                {"maxtext", k_v3},
                {"nemo-automodel", k_v3},
                {"angelslim", k_v3},
                {"vllm-ascend-xlite", k_v3},
                {"mindformers", k_v3},
                {"megatron-lm@0.13", k_v3},
                {"chitu", k_v3},
                {"tinygrad", k_plain}});
  CHECK(*evaluate(split, "vllm").cos_sin_factor == Approx(1.0857263992561355).epsilon(1e-14));
  CHECK(*evaluate(split, "deepseek-inference").cos_sin_factor == 1.0);
  CHECK(evaluate(split, "torchtitan").because.find("reads mscale (1), not mscale_all_dim (0.707)")
        != std::string::npos);
}

// Table "flavours" of NVIDIA/Megatron-LM@d98e8a64 and the defaults of its tags.
TEST_CASE("Megatron-LM changed key and defaults with v0.14", "[engines]") {
  check(config("deepseek_v3", k_equal),
        {{"megatron-lm", k_v3}, {"megatron-lm@no-flags", k_plain}, {"megatron-lm@0.10", k_v2}});
  check(config("deepseek_v2", k_lite), {{"megatron-lm", k_v2}, {"megatron-lm@0.13", k_v2}});
  check(config("deepseek_v2", yarn("")), {{"megatron-lm", k_plain}, {"megatron-lm@0.13", k_v3}});
  check(config("deepseek_v3", ""), {{"megatron-lm", k_plain}});
}

TEST_CASE("Megatron-Bridge keeps Megatron's factor 40 for a missing one, in cos and sin too",
          "[engines]") {
  // NVIDIA-NeMo/Megatron-Bridge#3128: factor 40 and mscale_all_dim 0, so g(40, 1) / g(40, 0).
  const engines::EngineValue value =
      evaluate(config("deepseek_v3", R"("rope_scaling": {"type": "yarn", "mscale": 1.0, )"
                                     R"("original_max_position_embeddings": 4096})"),
               "megatron-bridge");
  CHECK(value.prefill.value() == Approx(k_plain));
  CHECK(value.cos_sin_factor.value() == Approx(1.3688879454113936));
}

TEST_CASE("vLLM takes mrope for the default type, and asks for its sections", "[engines]") {
  // vllm-project/vllm transformers_utils/config.py@0036026e: mrope becomes default.
  const auto mrope = [](const std::string& more) {
    return evaluate(config("deepseek_v3", R"("rope_scaling": {"type": "mrope", "factor": 40, )"
                                          R"("mscale_all_dim": 1.0)"
                                              + more + "}"),
                    "vllm");
  };
  CHECK(mrope(R"(, "mrope_section": [8, 12, 12])").prefill.value() == Approx(k_plain));
  CHECK(mrope("").error.starts_with("ValueError"));
}

TEST_CASE("length gates look at max_position_embeddings against the original", "[engines]") {
  const std::string four_thousand = config("deepseek_v2", k_lite, 4096);
  check(four_thousand, {{"deepseek-inference", k_plain},
                        {"maxtext", k_plain},
                        {"vllm-ascend-xlite", k_plain},
                        {"torchtitan@before-4117", k_plain},
                        {"torchtitan", k_v2},
                        {"vllm", k_v2},
                        {"nemo-automodel", 0.03607349433802065}});
  CHECK(evaluate(four_thousand, "maxtext").because.find("length gate") != std::string::npos);
}

TEST_CASE("gates by name of the rope type close for rope_type alone and for deepseek_yarn",
          "[engines]") {
  const std::string rope_type_only =
      config("deepseek_v3", R"("rope_scaling": {"rope_type": "yarn", "factor": 40, "mscale": 1.0, )"
                            R"("mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, )"
                            R"("beta_fast": 32, "beta_slow": 1})");
  check(rope_type_only, {{"vllm.rs", k_plain},
                         {"mistral.rs", k_plain},
                         {"candle", k_plain},
                         {"megatron-bridge", k_v3},
                         {"vllm", k_v3}});
  CHECK(evaluate(rope_type_only, "remote-code").error == "KeyError: 'type'");
  const std::string deepseek_yarn = config(
      "deepseek_v3", R"("rope_scaling": {"type": "deepseek_yarn", "factor": 40, "mscale": 1.0, )"
                     R"("mscale_all_dim": 1.0, "original_max_position_embeddings": 4096})");
  check(deepseek_yarn, {{"megatron-bridge", k_plain},
                        {"turbomind", k_plain},
                        {"llama.cpp", k_v3 / k_plain * k_plain / 1.873854207092666},
                        {"vllm", k_v3},
                        {"sglang", k_v3}});
  CHECK(evaluate(deepseek_yarn, "transformers").error == "KeyError: 'deepseek_yarn'");
}

TEST_CASE("a missing factor is a KeyError in some engines and 1 in others", "[engines]") {
  const std::string missing =
      config("deepseek_v3", R"("rope_scaling": {"type": "yarn", "mscale": 1.0, )"
                            R"("mscale_all_dim": 1.0, "original_max_position_embeddings": 4096})");
  for (const std::string_view id : {"vllm", "vllm@41569", "ktransformers", "rtp-llm", "atom"}) {
    INFO(id);
    const engines::EngineValue value = evaluate(missing, id);
    CHECK(value.error == "KeyError: 'factor'");
    CHECK_FALSE(value.prefill);
    CHECK_FALSE(value.decode);
    CHECK(value.agrees == false);
  }
  CHECK(*evaluate(missing, "sglang").prefill == k_plain);
  CHECK(*evaluate(missing, "lmdeploy").prefill == k_plain);
  CHECK(evaluate(missing, "sglang").agrees == false); // the law has no value to agree with
}

TEST_CASE("kernel libraries divide by what they see when no scale is passed", "[engines]") {
  check(config("deepseek_v3", k_equal), {{"flashmla-default", k_plain, k_latent},
                                         {"aiter-default", k_latent},
                                         {"aiter-default@ps", k_small4_plain, k_latent},
                                         {"flashinfer-default", k_plain, 1.0}});
}

TEST_CASE("bugs of the past are rows of their own", "[engines]") {
  check(config("deepseek_v3", k_equal), {{"mobius", k_v3},
                                         {"mobius@before-548", k_plain},
                                         {"sglang@before-3785", k_plain},
                                         {"ktransformers@ed843741", k_plain, k_v3},
                                         {"vllm-tpu@before-521", 0.005208333333333333},
                                         {"maxtext@before-1370", 7.394602209768436},
                                         {"ollama", 0.07807725862885943},
                                         {"turbomind@4362", k_v3}});
  check(config("deepseek_v3", yarn(R"("mscale": 0, "mscale_all_dim": 0)")),
        {{"turbomind@4362", k_latent}, {"turbomind", k_plain}});
}

TEST_CASE("Mistral's apply_scale divides the engines", "[engines]") {
  const model::LoadedModel params = zoo("mistralai--Mistral-Large-3-675B/params.json");
  check(params, {{"vllm", k_plain},
                 {"vllm@41744", k_plain},
                 {"vllm@56446", k_large3},
                 {"vllm-ascend", k_plain},
                 {"sglang", k_plain},
                 {"sglang@before-26203", k_large3},
                 {"tensorrt-llm", k_large3},
                 {"llama.cpp", k_large3},
                 {"transformers", k_large3}});
  CHECK_FALSE(evaluate(params, "candle").agrees);
  const model::LoadedModel small4 = zoo("mistralai--Mistral-Small-4-119B-2603/config.json");
  check(small4, {{"transformers", k_small4},
                 {"transformers@4.54", k_small4_plain},
                 {"vllm", k_small4_plain},
                 {"vllm@32623", 0.05590169943749474, k_small4_plain},
                 {"sglang", k_small4},
                 {"exllamav3", k_small4_plain},
                 {"nemo-automodel", k_small4_plain},
                 {"chatllm.cpp", k_small4},
                 {"llama.cpp", k_small4}});
}

TEST_CASE("families that never take mscale stay plain and say so", "[engines]") {
  const model::LoadedModel minicpm = zoo("openbmb--MiniCPM3-4B/config.json");
  check(minicpm, {{"vllm", 0.10206207261596575}, {"vllm@32623", 0.10206207261596575}});
  CHECK(evaluate(minicpm, "transformers").error == "KeyError: 'factor'");
  const model::LoadedModel kimi = zoo("moonshotai--Kimi-Linear-48B-A3B/config.json");
  check(kimi, {{"vllm", k_plain}, {"vllm@32623", k_latent, k_plain}, {"transformers", k_plain}});
  CHECK_FALSE(evaluate(kimi, "vllm").cos_sin_factor);
  const engines::EngineValue assumed = evaluate(kimi, "tensorrt-llm");
  CHECK(assumed.certainty == engines::Certainty::inferred);
  CHECK(assumed.because.find("was not read") != std::string::npos);
}

TEST_CASE("published models give what their engines are known to give", "[engines]") {
  check(zoo("deepseek-ai--DeepSeek-V3/config.json"), {{"transformers", k_v3}, {"vllm", k_v3}});
  check(zoo("deepseek-ai--DeepSeek-V2-Lite/config.json"),
        {{"transformers", k_v2}, {"transformers@5.0", k_plain}, {"chitu", k_v3}});
  check(zoo("moonshotai--Kimi-K2-Instruct/config.json"),
        {{"transformers", 0.13086079996295005}, {"vllm", 0.13086079996295005}});
  check(zoo("moonshotai--Kimi-K2.5/config.json"), {{"transformers", 0.14467962580268923}});
  check(zoo("zai-org--GLM-5/config.json"),
        {{"transformers", 0.0625}, {"vllm@32623", k_latent, 0.0625}});
  check(zoo("meituan-longcat--LongCat-Flash-Lite/config.json"),
        {{"vllm", 0.10923005210713232}, {"vllm.rs", k_plain}});
  check(zoo("deepseek-ai--DeepSeek-V4-Flash/config.json"),
        {{"vllm", 0.04419417382415922}, {"transformers", 0.04419417382415922}});
}

TEST_CASE("a measured scale leads to the rows that would give it", "[engines]") {
  const model::LoadedModel loaded =
      model::load_model_text(config("deepseek_v3", k_equal), "c.json");
  const auto law = scale::derive_softmax_scale(*loaded.config());
  const auto matches = engines::rules_giving(0.0416667, *loaded.config(), &*law, 1e-5);
  const auto found = std::find_if(matches.begin(), matches.end(),
                                  [](const auto& match) { return match.rule->id == "vllm@32623"; });
  REQUIRE(found != matches.end());
  CHECK(found->prefill);
  CHECK_FALSE(found->decode);
  CHECK_FALSE(found->agrees);
  CHECK(engines::rules_giving(0.5, *loaded.config(), &*law, 1e-5).empty());
}

TEST_CASE("only DeepSeek's own code reads the configs of DeepSeek's inference code", "[engines]") {
  // 16 heads of 128 + 64, mscale 0.707: config_16B.json; the scale is V2-Lite's.
  const std::string json =
      R"({"vocab_size": 102400, "dim": 2048, "inter_dim": 10944, "n_heads": 16, "q_lora_rank": 0,
          "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
          "n_routed_experts": 64, "mscale": 0.707})";
  check(json, {{"deepseek-inference", k_v2}});
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    if (rule.id == "deepseek-inference") {
      continue;
    }
    const engines::EngineValue value = evaluate(json, rule.id);
    INFO(rule.id);
    CHECK(!value.prefill);
    CHECK(!value.decode);
    CHECK(!value.agrees);
    CHECK(value.error.empty());
    CHECK(value.because.find("does not read this format") != std::string::npos);
  }
}

// transformers 5.17.0, executed on DeepSeek-V2-Chat's config without model_type and auto_map.
TEST_CASE("transformers refuses a config without model_type, unless auto_map names the code",
          "[engines]") {
  const std::string body =
      R"({"architectures": ["DeepseekV3ForCausalLM"], "num_attention_heads": 4)";
  const engines::EngineValue refused = evaluate(body + "}", "transformers");
  CHECK(refused.error.find("Should have a `model_type` key") != std::string::npos);
  CHECK(!refused.prefill);
  const engines::EngineValue taken = evaluate(
      body + R"(, "auto_map": {"AutoConfig": "configuration_deepseek.X"}})", "transformers");
  CHECK(taken.error.empty());
  CHECK(*taken.prefill == Approx(k_plain).epsilon(1e-12));
  CHECK(evaluate(body + "}", "vllm").error.empty());
}

// vllm-project/vllm rotary_embedding/__init__.py@07b12f1b indexes the key; before that transformers
// 5 writes max_position_embeddings there for yarn, not for linear (modeling_rope_utils.py@decba1d2
// L742).
TEST_CASE("a missing original length is filled in for yarn and a KeyError elsewhere in vLLM",
          "[engines]") {
  const auto without_original = [](const std::string& type) {
    return config("deepseek_v3", R"("rope_scaling": {"rope_type": ")" + type
                                     + R"(", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0})");
  };
  for (const std::string_view id : {"vllm", "vllm@41744", "vllm-ascend", "transformers"}) {
    INFO(id);
    CHECK(evaluate(without_original("yarn"), id).agrees == true);
  }
  check(without_original("yarn"), {{"vllm", k_v3}, {"transformers", k_v3}});
  for (const std::string_view id : {"vllm", "vllm@41569", "vllm-ascend"}) {
    for (const std::string type : {"linear", "deepseek_yarn"}) {
      INFO(id << " " << type);
      CHECK(evaluate(without_original(type), id).error
            == "KeyError: 'original_max_position_embeddings'");
    }
  }
  CHECK(evaluate(without_original("linear"), "transformers").error.empty());
}

// rope_parameters came with transformers 5 (10de06da, 2025-10-17).
TEST_CASE("transformers 4 does not see rope_parameters", "[engines]") {
  const std::string json =
      config("deepseek_v3", R"("rope_parameters": {"rope_type": "yarn", "factor": 40, )"
                            R"("original_max_position_embeddings": 4096, "mscale": 1.0, )"
                            R"("mscale_all_dim": 1.0})");
  check(json, {{"transformers", k_v3},
               {"transformers@5.0", k_v3},
               {"transformers@4.54", k_plain},
               {"transformers@4.51", k_plain}});
  // Their config classes have a field rope_scaling and no other: candle deepseek2.rs, mistral.rs
  // deepseek3.rs, TGI flash_deepseek_v3_modeling.py.
  const std::string both_types =
      config("deepseek_v3", R"("rope_parameters": {"rope_type": "yarn", "type": "yarn", )"
                            R"("factor": 40, "original_max_position_embeddings": 4096, )"
                            R"("beta_fast": 32, "beta_slow": 1, "mscale": 1.0, )"
                            R"("mscale_all_dim": 1.0})");
  check(both_types, {{"candle", k_plain}, {"mistral.rs", k_plain}, {"vllm", k_v3}});
  CHECK(evaluate(both_types, "tgi").error == "AttributeError: 'scaling_factor'");
  for (const std::string_view id : {"transformers@4.54", "transformers@4.51"}) {
    const engines::EngineValue value = evaluate(json, id);
    CHECK(value.because.find("reads rope_scaling, and not rope_parameters") != std::string::npos);
  }
}

// transformers 5.17.0, executed on Ling-3.0-tiny (no auto_map) and on Ling-2.5-1T (with one).
TEST_CASE("transformers runs the model's own code only where auto_map names it", "[engines]") {
  const engines::EngineValue refused = evaluate(config("bailing_hybrid", ""), "transformers");
  CHECK(refused.error
        == "ValueError: model type `bailing_hybrid` but Transformers does not recognize this "
           "architecture");
  CHECK(!refused.prefill);
  const engines::EngineValue taken =
      evaluate(config("bailing_hybrid", R"("auto_map": {"AutoConfig": "configuration_bailing.X"})"),
               "transformers");
  CHECK(taken.error.empty());
  CHECK(*taken.prefill == k_plain);
}
