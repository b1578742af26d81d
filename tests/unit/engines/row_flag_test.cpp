// Each flag of a row where it decides a number or an error. Expected values: 192^-1/2 * g^2 in
// Python; the behaviour of each engine is what the comment or the source of its row says.

#include "engine_support.hpp"

#include <vector>

using namespace mla_scale;
using namespace engine_test;

namespace {

constexpr double k_magnitude_of_16 = 1.2772588722239782; // g(16, 1)

/// A dictionary of type yarn under either name, with both names of the type; `more` starts with a
/// comma or is empty.
std::string dictionary(const std::string& container, const std::string& more) {
  return "\"" + container + R"(": {"type": "yarn", "rope_type": "yarn")" + more + "}";
}

std::string scaling(const std::string& more) {
  return config("deepseek_v3", dictionary("rope_scaling", more));
}

/// All keys of YaRN but one.
std::string without(std::string_view key) {
  std::string keys;
  for (const auto& [name, value] : std::initializer_list<std::pair<std::string, std::string>>{
           {"type", "\"yarn\""},
           {"factor", "40"},
           {"original_max_position_embeddings", "4096"},
           {"beta_fast", "32"},
           {"beta_slow", "1"},
           {"mscale", "1.0"},
           {"mscale_all_dim", "0.707"}}) {
    if (name != key) {
      keys += (keys.empty() ? "\"" : ", \"") + name + "\": " + value;
    }
  }
  return config("deepseek_v3", R"("rope_scaling": {)" + keys + "}");
}

void check_rotation(const std::string& json, const std::vector<std::string_view>& ids,
                    double factor) {
  for (const std::string_view id : ids) {
    INFO(id);
    const engines::EngineValue value = evaluate(json, id);
    INFO(value.error);
    REQUIRE(value.cos_sin_factor);
    CHECK(*value.cos_sin_factor == Approx(factor).epsilon(1e-12));
  }
}

void check_error(const std::string& json, const std::vector<std::string_view>& ids,
                 const std::string& error) {
  for (const std::string_view id : ids) {
    INFO(id);
    const engines::EngineValue value = evaluate(json, id);
    CHECK(value.error == error);
    CHECK_FALSE(value.prefill);
    CHECK_FALSE(value.decode);
    CHECK(value.agrees == false);
  }
}

} // namespace

// rope_parameters came with transformers 5 in 2025-10; these states are of 2025-02 to 2025-08, the
// Rust ones have a field rope_scaling alone.
TEST_CASE("what is older than rope_parameters sees no scaling in it", "[engines]") {
  const std::string keys = ", \"factor\": 40, \"original_max_position_embeddings\": 4096, "
                           "\"beta_fast\": 32, \"beta_slow\": 1, "
                           + k_split_keys;
  const std::string old_key = config("deepseek_v3", dictionary("rope_scaling", keys));
  const std::string new_key = config("deepseek_v3", dictionary("rope_parameters", keys));
  check(old_key, {{"ktransformers@ed843741", k_plain, k_v2},
                  {"candle", k_v2},
                  {"mistral.rs", k_v2},
                  {"tgi", k_v2},
                  {"transformers@4.54", k_v2},
                  {"transformers@4.51", k_v2}});
  check(new_key, {{"ktransformers@ed843741", k_plain},
                  {"ktransformers", k_v2},
                  {"candle", k_plain},
                  {"mistral.rs", k_plain}});
  const std::vector<std::string_view> older = {"sglang@before-3785", "ktransformers@ed843741",
                                               "vllm-tpu@before-521", "transformers@4.54",
                                               "transformers@4.51"};
  check_rotation(old_key, older, k_ratio);
  check_rotation(new_key, older, 1.0);
  check_rotation(new_key, {"sglang", "ktransformers", "vllm-tpu", "transformers"}, k_ratio);
}

// sgl-project/sglang#3785, vllm-project/tpu-inference#521: constants without mscale; the table of
// cos and sin was DeepSeek's already.
TEST_CASE("constant widths leave the rotation to the rope type", "[engines]") {
  const std::string linear =
      config("deepseek_v3", R"("rope_scaling": {"type": "linear", "factor": 40,
             "original_max_position_embeddings": 4096, )"
                                + k_split_keys + "}");
  check(linear, {{"sglang@before-3785", k_plain}, {"vllm-tpu@before-521", 1.0 / 192}});
  check_rotation(linear, {"sglang@before-3785"}, k_ratio); // any type becomes deepseek_yarn
  check_rotation(linear, {"vllm-tpu@before-521"}, 1.0);
}

// eca74d1367 (4.51): max / original overwrites the factor of cos and sin; the softmax scale keeps
// the explicit one. 6451294f6f and 347328108a: the explicit factor wins.
TEST_CASE("4.51 alone takes the factor of cos and sin from the lengths", "[engines]") {
  const std::string json = config("deepseek_v3", yarn(k_split_keys), 65536);
  check(json, {{"transformers@4.51", k_v2}, {"transformers", k_v2}});
  check_rotation(json, {"transformers@4.51"}, 1.0679225365606495); // g(16, 1) / g(16, 0.707)
  check_rotation(
      json, {"transformers", "transformers@5.0", "transformers@4.54", "lmdeploy", "mcore-bridge"},
      k_ratio);
  // Without the original length there is nothing to divide by.
  const std::string no_original =
      config("deepseek_v3",
             R"("rope_scaling": {"type": "yarn", "factor": 40, )" + k_split_keys + "}", 65536);
  check_rotation(no_original, {"transformers@4.51", "transformers"}, k_ratio);
}

// modeling_rope_utils.py@decba1d2 L426: null means max / original there; `None <= 1` stops the
// softmax scale before, where mscale_all_dim asks for it.
TEST_CASE("a factor of null is max / original for cos and sin and a TypeError for mscale",
          "[engines]") {
  const auto null_factor = [](const std::string& more) {
    return config(
        "deepseek_v3",
        dictionary("rope_scaling",
                   R"(, "factor": null, "original_max_position_embeddings": 4096)" + more),
        65536);
  };
  check(null_factor(""), {{"transformers", k_plain}, {"transformers@5.0", k_plain}});
  check_rotation(null_factor(""), {"transformers", "transformers@5.0"}, k_magnitude_of_16);
  check_error(null_factor(R"(, "mscale_all_dim": 1.0)"), {"transformers", "transformers@5.0"},
              "TypeError: '<=' not supported between instances of 'NoneType' and 'int'");
}

// modeling_rope_utils.py@decba1d2 L437 and lmdeploy's copy: the ratio only where both keys are
// there and not 0. DeepseekScalingRotaryEmbedding: missing keys are 1 and 0.
TEST_CASE("a lone mscale key divides transformers' cos and sin from DeepSeek's", "[engines]") {
  const std::string lone = config("deepseek_v3", yarn(R"("mscale": 0.707)"));
  const std::string lone_all_dim = config("deepseek_v3", yarn(R"("mscale_all_dim": 0.707)"));
  const std::string off = config("deepseek_v3", yarn(R"("mscale": 0, "mscale_all_dim": 0)"));
  const std::vector<std::string_view> hf = {"transformers", "transformers@4.54", "lmdeploy",
                                            "mcore-bridge"};
  const std::vector<std::string_view> deepseek = {"vllm",        "sglang", "ktransformers",
                                                  "remote-code", "atom",   "megatron-lm"};
  check_rotation(lone, hf, k_magnitude);
  check_rotation(lone, deepseek, 1.2608037774058554); // g(40, 0.707)
  check_rotation(lone_all_dim, hf, k_magnitude);
  check_rotation(lone_all_dim, deepseek, k_ratio);
  check_rotation(off, hf, k_magnitude);
  check_rotation(off, deepseek, 1.0);
}

// DeepseekScalingRotaryEmbedding multiplies by attn_factor and has no attention_factor; for
// transformers it is the other way round.
TEST_CASE("attn_factor and attention_factor are read by different engines", "[engines]") {
  const std::string attn = config("deepseek_v3", yarn(k_split_keys + R"(, "attn_factor": 1.5)"));
  check_rotation(attn,
                 {"vllm", "vllm@56446", "vllm@41744", "vllm@41569", "vllm@32623", "vllm-ascend",
                  "sglang", "sglang@before-26203", "sglang@before-3785"},
                 1.5 * k_ratio);
  check_rotation(attn, {"transformers", "ktransformers", "lmdeploy", "megatron-lm"}, k_ratio);
  const std::string attention =
      config("deepseek_v3", yarn(k_split_keys + R"(, "attention_factor": 1.3)"));
  check_rotation(attention, {"transformers", "transformers@4.51", "lmdeploy", "mcore-bridge"}, 1.3);
  check_rotation(attention, {"vllm", "sglang", "ktransformers", "remote-code"}, k_ratio);
  // Only exactly 1 switches mscale off, and only in vLLM since #57563.
  check(attention, {{"vllm", k_v2}, {"transformers", k_v2}, {"sglang", k_v2}});
}

// deepseek_v2.py indexes rope_parameters["rope_type"]; transformers 5 hands each layer kind its
// own dictionary, and DeepSeek's classes none.
TEST_CASE("a dictionary for each layer kind is an error in vLLM and the default in transformers 5",
          "[engines]") {
  const std::string rope = R"("rope_parameters": {"full_attention": {"rope_type": "yarn",
      "factor": 40, "original_max_position_embeddings": 4096, )"
                           + k_equal_keys + "}}";
  check_error(config("deepseek_v3", rope),
              {"vllm", "vllm@56446", "vllm@41744", "vllm@41569", "vllm@32623", "vllm-ascend"},
              "KeyError: 'rope_type'");
  check(config("deepseek_v3", rope), {{"transformers", k_plain}, {"transformers@5.0", k_plain}});
  check_rotation(config("deepseek_v3", rope), {"transformers", "transformers@5.0"}, 1.0);
  // bailing_moe_linear.py@055e47c2 has its own attention without mscale.
  check(config("bailing_hybrid", rope), {{"vllm", k_plain}, {"vllm@41744", k_plain}});
  check(config("deepseek_v3", yarn(k_equal_keys)), {{"vllm", k_v3}, {"transformers", k_v3}});
}

// modeling_deepseek.py: any dictionary counts, "type" and "factor" by subscript.
TEST_CASE("a dictionary that says only default stops the remote code", "[engines]") {
  const std::string only_type = config("deepseek_v3", R"("rope_scaling": {"type": "default"})");
  check_error(only_type, {"remote-code"}, "KeyError: 'factor'");
  check_error(config("deepseek_v3", R"("rope_parameters": {"rope_type": "default"})"),
              {"remote-code"}, "KeyError: 'type'");
  check_error(config("deepseek_v3", R"("rope_scaling": {"type": "default", "factor": 40})"),
              {"remote-code"}, "ValueError: Unknown RoPE scaling type default");
  check(only_type, {{"transformers", k_plain},
                    {"vllm", k_plain},
                    {"sglang", k_plain},
                    {"ktransformers", k_plain},
                    {"rtp-llm", k_plain}});
  check(config("deepseek_v3", ""), {{"remote-code", k_plain}});
}

// Their serde variants need every key, type included: candle deepseek2.rs, mistral.rs layers.rs.
TEST_CASE("candle and mistral.rs take YaRN only with every key of it", "[engines]") {
  check(without("nothing"), {{"candle", k_v2}, {"mistral.rs", k_v2}});
  for (const std::string_view key : {"type", "factor", "original_max_position_embeddings",
                                     "beta_fast", "beta_slow", "mscale", "mscale_all_dim"}) {
    INFO(key);
    check(without(key), {{"candle", k_plain}, {"mistral.rs", k_plain}});
    check_rotation(without(key), {"candle", "mistral.rs"}, 1.0);
  }
}

// rtp_llm deepseek_v2.py@4b8d39cd5 L641, lmdeploy utils.py@1263d5cd L256, AngelSlim
// modeling_deepseek.py@67394ce L463: keys by subscript, behind the gate.
TEST_CASE("a key that is indexed is a KeyError where the gate is open", "[engines]") {
  for (const std::string key :
       {"factor", "mscale", "mscale_all_dim", "original_max_position_embeddings"}) {
    check_error(without(key), {"rtp-llm"}, "KeyError: '" + key + "'");
  }
  for (const std::string key : {"mscale", "mscale_all_dim"}) {
    check_error(without(key), {"turbomind", "turbomind@4362"}, "KeyError: '" + key + "'");
  }
  check_error(without("mscale"), {"angelslim"}, "KeyError: 'mscale'");
  check(config("deepseek_v3", yarn(""), 4096), {{"angelslim", k_plain}}); // the length gate closes
  check(config("deepseek_v3", R"("rope_scaling": {"type": "linear", "factor": 40})"),
        {{"turbomind", k_plain}});
}

// get_rope indexes factor for both of its deepseek types: rotary_embedding/__init__.py@07b12f1b.
TEST_CASE("vLLM needs the factor even where mscale is switched off", "[engines]") {
  check_error(scaling(R"(, "original_max_position_embeddings": 4096, "apply_yarn_scaling": false)"),
              {"vllm", "vllm@41744", "vllm-ascend"}, "KeyError: 'factor'");
}

// The column "missing keys" of each row's source; Megatron's dataclass and the class defaults of
// DeepSeek's inference code and of MaxText say 40.
TEST_CASE("a missing factor counts as 1 or as 40", "[engines]") {
  const std::string json = without("factor");
  check(json, {{"tensorrt-llm", k_plain},
               {"sglang@before-26203", k_plain},
               {"mlx-swift-lm", k_plain},
               {"vllm.rs", k_plain},
               {"megatron-bridge", k_v2},
               {"deepseek-inference", k_v3},
               {"maxtext", k_v3},
               {"chitu", k_v3},
               {"nemo-automodel", k_plain}});
  check_rotation(json, {"sglang", "tensorrt-llm"}, 1.0);
  check_rotation(json, {"megatron-bridge"}, k_ratio);
}

// atom/models/deepseek_v2.py@ffdf3bb5d: a factor, or yarn or deepseek_yarn for the type.
TEST_CASE("ATOM needs a factor only under the yarn types", "[engines]") {
  const auto of_type = [](const std::string& type) {
    return config("deepseek_v3",
                  R"("rope_scaling": {"type": ")" + type + R"(", )" + k_equal_keys + "}");
  };
  check(of_type("linear"), {{"atom", k_plain}});
  check_error(of_type("yarn"), {"atom"}, "KeyError: 'factor'");
  check_error(of_type("deepseek_yarn"), {"atom"}, "KeyError: 'factor'");
}

// models/deepseek.h@4a4310e: original_max_position_embeddings > 0. mlx_lm deepseek_v3.py@d78bf58e
// and exllamav3 look for mscale_all_dim.
TEST_CASE("gates that ask for a key are closed without it", "[engines]") {
  check(without("nothing"), {{"chatllm.cpp", k_v2}, {"mlx-lm", k_v2}});
  check(without("original_max_position_embeddings"), {{"chatllm.cpp", k_plain}, {"mlx-lm", k_v2}});
  check(without("mscale_all_dim"), {{"mlx-lm", k_plain}, {"exllamav3", k_plain}});
  CHECK(evaluate(without("original_max_position_embeddings"), "chatllm.cpp").because
        == "original_max_position_embeddings is missing");
  CHECK(evaluate(config("deepseek_v2", ""), "mlx-lm").error
        == "TypeError: 'NoneType' object is not subscriptable");
  check(config("deepseek_v3", ""), {{"mlx-lm", k_plain}}); // the V3 file asks first
}

// DeepSeek's class default for the original length is 4096.
TEST_CASE("a length gate takes 4096 for a missing original length", "[engines]") {
  const auto of_length = [](int length) {
    return config("deepseek_v3", dictionary("rope_scaling", ", \"factor\": 40, " + k_equal_keys),
                  length);
  };
  check(of_length(4096), {{"deepseek-inference", k_plain}, {"maxtext", k_plain}});
  check(of_length(4097), {{"deepseek-inference", k_v3}, {"maxtext", k_v3}});
}

// layers.py@36044ad3 L115: factor, mscale and the original length, else no multiplier.
TEST_CASE("NeMo Automodel needs three keys for its multiplier", "[engines]") {
  check(without("mscale_all_dim"), {{"nemo-automodel", k_v3}});
  for (const std::string_view key : {"factor", "mscale", "original_max_position_embeddings"}) {
    INFO(key);
    check(without(key), {{"nemo-automodel", k_plain}});
  }
}

// vllm-project/vllm#41569: get_mla_prefill_scale read the rope keys again, so it parted from model
// files that never apply mscale: bailing_moe_linear.py@055e47c2, openpangu.py@0084eaff.
TEST_CASE("for one day vLLM's prefill took mscale where the model file did not", "[engines]") {
  for (const std::string model : {"bailing_hybrid", "pangu_ultra_moe"}) {
    INFO(model);
    check(config(model, yarn(k_equal_keys)),
          {{"vllm@41569", k_v3, k_plain}, {"vllm@41744", k_plain}, {"vllm", k_plain}});
    check_error(config(model, R"("rope_scaling": {"type": "yarn", )" + k_equal_keys + "}"),
                {"vllm@41569"}, "KeyError: 'factor'");
  }
  check(config("bailing_hybrid", yarn(k_equal_keys)), {{"vllm@32623", k_latent, k_plain}});
  check(config("bailing_hybrid", R"("rope_scaling": {"type": "yarn", )" + k_equal_keys + "}"),
        {{"vllm@41744", k_plain}});
}

// sarvam.py@055e47c2 compares with the literal name and rewrites nothing.
TEST_CASE("vLLM applies mscale to Sarvam for the literal deepseek_yarn alone", "[engines]") {
  const auto of_type = [](const std::string& type) {
    return config("sarvam_mla", R"("rope_scaling": {"type": ")" + type
                                    + R"(", "factor": 40, "original_max_position_embeddings": 4096,
                                    )"
                                    + k_equal_keys + "}");
  };
  check(of_type("deepseek_yarn"), {{"vllm", k_v3}, {"vllm@41744", k_v3}});
  check(of_type("yarn"), {{"vllm", k_plain}, {"vllm@41744", k_plain}});
}

// transformers 5.17.0, executed; AutoConfig asks for the key in the older versions too.
TEST_CASE("every state of transformers needs model_type", "[engines]") {
  const std::string json =
      R"({"architectures": ["DeepseekV3ForCausalLM"], "num_attention_heads": 4})";
  check_error(json, {"transformers", "transformers@5.0", "transformers@4.54", "transformers@4.51"},
              "ValueError: Unrecognized model. Should have a `model_type` key in its config.json");
}
