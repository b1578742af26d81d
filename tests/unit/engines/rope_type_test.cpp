// Each rope type against each gate. Expected numbers: 192^-1/2 * g(40, weight)^2 in Python, for the
// two weights that split the engines; which engine takes the type, and what its cos and sin are
// multiplied by, is what the source named in its row does.

#include "engine_support.hpp"

#include <cmath>
#include <vector>

using namespace mla_scale;
using namespace engine_test;

namespace {

/// DeepSeek-V3 with this rope type, mscale 1, mscale_all_dim 0.707 and what longrope and llama3
/// need.
std::string of_type(const std::string& type) {
  return config("deepseek_v3",
                R"("rope_scaling": {"type": ")" + type + R"(", "rope_type": ")" + type
                    + R"(", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 1.0,
                    "mscale_all_dim": 0.707, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "short_factor": [1.0], "long_factor": [2.0]})");
}

void check_scale(const std::string& type, const std::vector<std::string_view>& ids, double scale) {
  for (const std::string_view id : ids) {
    INFO(type << " " << id);
    const engines::EngineValue value = evaluate(of_type(type), id);
    INFO(value.error);
    REQUIRE(value.prefill);
    CHECK(*value.prefill == Approx(scale).epsilon(1e-12));
    CHECK(*value.decode == *value.prefill);
  }
}

void check_rotation_of_type(const std::string& type, const std::vector<std::string_view>& ids,
                            double factor) {
  for (const std::string_view id : ids) {
    INFO(type << " " << id);
    const engines::EngineValue value = evaluate(of_type(type), id);
    REQUIRE(value.cos_sin_factor);
    CHECK(*value.cos_sin_factor == Approx(factor).epsilon(1e-12));
  }
}

// vLLM's and SGLang's model files write deepseek_yarn over any type but default.
const std::vector<std::string_view> k_coercing = {"vllm",       "vllm@56446", "vllm@41744",
                                                  "vllm@41569", "sglang",     "sglang@before-26203",
                                                  "vllm-ascend"};

// rope_scaling has to be there, or mscale_all_dim, or a factor, whatever the type.
const std::vector<std::string_view> k_any_type = {"ktransformers",
                                                  "tokenspeed",
                                                  "lmdeploy",
                                                  "atom",
                                                  "rtp-llm",
                                                  "lightllm",
                                                  "xllm",
                                                  "vllm-tpu",
                                                  "mlx-lm",
                                                  "mlx-swift-lm",
                                                  "exllamav3",
                                                  "chatllm.cpp",
                                                  "mlc-llm",
                                                  "mobius",
                                                  "megatron-lm",
                                                  "tensorrt-llm",
                                                  "mindformers@research"};

// DeepSeek's inference code and its copies read mscale, behind a length gate or none.
const std::vector<std::string_view> k_mscale_readers = {
    "deepseek-inference", "maxtext",          "nemo-automodel",   "angelslim", "chitu",
    "mindformers",        "megatron-lm@0.13", "vllm-ascend-xlite"};

const std::vector<std::string_view> k_yarn_only = {"turbomind",       "tgi",          "torchtitan",
                                                   "megatron-bridge", "mcore-bridge", "vllm.rs",
                                                   "mistral.rs",      "candle"};

} // namespace

TEST_CASE("every rope type but default opens the gates that do not ask for yarn", "[engines]") {
  for (const std::string type : {"linear", "dynamic", "llama3", "longrope"}) {
    check_scale(type, k_coercing, k_v2);
    check_scale(type, k_any_type, k_v2);
    check_scale(type, k_mscale_readers, k_v3);
    check_scale(type, {"transformers", "transformers@5.0", "transformers@4.54"}, k_v2);
  }
}

TEST_CASE("a gate that asks for yarn is closed for every other rope type", "[engines]") {
  for (const std::string type :
       {"linear", "dynamic", "llama3", "longrope", "deepseek_yarn", "telechat3-yarn"}) {
    check_scale(type, k_yarn_only, k_plain);
    check_scale(type, {"tinygrad", "megatron-lm@no-flags"}, k_plain);
  }
  check_scale("yarn", {"turbomind", "tgi", "megatron-bridge", "mcore-bridge", "vllm.rs"}, k_v2);
  check_scale("yarn", {"torchtitan"}, k_v3);
}

TEST_CASE("the other names of yarn count where the gate does not ask for one", "[engines]") {
  for (const std::string type : {"deepseek_yarn", "telechat3-yarn"}) {
    check_scale(type, k_coercing, k_v2);
    check_scale(type, k_any_type, k_v2);
    check_scale(type, k_mscale_readers, k_v3);
    // mlx_lm/models/rope_utils.py: yarn, deepseek_yarn, telechat3-yarn
    check_rotation_of_type(type, {"mlx-lm"}, k_ratio);
  }
}

TEST_CASE("cos and sin of linear, dynamic and llama3 are left alone except where the type becomes "
          "deepseek_yarn",
          "[engines]") {
  for (const std::string type : {"linear", "dynamic", "llama3"}) {
    check_rotation_of_type(type, k_coercing, k_ratio);
    check_rotation_of_type(type,
                           {"transformers", "transformers@5.0", "transformers@4.54",
                            "transformers@4.51", "lmdeploy", "mcore-bridge", "ktransformers",
                            "atom", "mlx-lm", "megatron-lm", "tensorrt-llm", "megatron-bridge"},
                           1.0);
  }
  check_rotation_of_type("yarn", k_coercing, k_ratio);
  check_rotation_of_type(
      "yarn", {"ktransformers", "atom", "mlx-lm", "megatron-lm", "megatron-bridge"}, k_ratio);
}

// _compute_longrope_parameters: sqrt(1 + ln 40 / ln 4096).
TEST_CASE("longrope has a factor of its own in transformers and becomes YaRN in vLLM and SGLang",
          "[engines]") {
  check_rotation_of_type("longrope",
                         {"transformers", "transformers@5.0", "transformers@4.54", "lmdeploy"},
                         1.201454954589343);
  check_rotation_of_type("longrope", k_coercing, k_ratio);
  CHECK_FALSE(evaluate(of_type("longrope"), "ktransformers").cos_sin_factor); // not established
}

// modeling_rope_utils.py@decba1d2: attention_factor, else factor, else max / original; up to
// factor 1 it is 1.
TEST_CASE("transformers' longrope takes attention_factor first and never shrinks cos and sin",
          "[engines]") {
  const auto rotation = [](const std::string& more, int max_positions) {
    const std::string json =
        config("deepseek_v3",
               R"("rope_scaling": {"rope_type": "longrope", "short_factor": [1.0],
                  "long_factor": [2.0], )"
                   + more + "}",
               max_positions);
    const engines::EngineValue value = evaluate(json, "transformers");
    INFO(value.error);
    REQUIRE(value.cos_sin_factor);
    return *value.cos_sin_factor;
  };
  const std::string original = R"("original_max_position_embeddings": 40960, "factor": )";
  CHECK(rotation(original + R"(40, "attention_factor": 1.25)", 163840) == 1.25);
  CHECK(rotation(original + "null", 163840) == Approx(1.0632647247109213).epsilon(1e-14));
  CHECK(rotation(original + "4", 40960) == Approx(1.0632647247109213).epsilon(1e-14));
  CHECK(rotation(original + "1", 163840) == 1.0);
  CHECK(rotation(original + "null", 20480) == 1.0);
}

// DeepSeek's remote code: linear, dynamic and yarn, anything else raises (modeling_deepseek.py
// _init_rope). transformers: ROPE_INIT_FUNCTIONS has no such key.
TEST_CASE("an unknown rope type is a ValueError in the remote code and a KeyError in transformers",
          "[engines]") {
  for (const std::string type : {"llama3", "longrope", "deepseek_yarn", "telechat3-yarn"}) {
    INFO(type);
    const engines::EngineValue value = evaluate(of_type(type), "remote-code");
    CHECK(value.error == "ValueError: Unknown RoPE scaling type " + type);
    CHECK_FALSE(value.prefill);
    CHECK(value.agrees == false);
  }
  check_scale("linear", {"remote-code"}, k_v2);
  check_scale("dynamic", {"remote-code"}, k_v2);
  for (const std::string type : {"deepseek_yarn", "telechat3-yarn", "ntk"}) {
    for (const std::string_view id :
         {"transformers", "transformers@5.0", "transformers@4.54", "transformers@4.51"}) {
      INFO(type << " " << id);
      CHECK(evaluate(of_type(type), id).error == "KeyError: '" + type + "'");
    }
  }
}

// Validation of transformers 5, modeling_rope_utils.py@decba1d2 L818.
TEST_CASE("transformers 5 asks for the keys of each rope type", "[engines]") {
  const auto error = [](const std::string& body, std::string_view id) {
    return evaluate(config("deepseek_v3", R"("rope_scaling": {"rope_type": )" + body + "}"), id)
        .error;
  };
  const auto missing = [](const std::string& type, const std::string& key) {
    return "KeyError: \"Missing required keys in `rope_parameters` for 'rope_type'='" + type
           + "': {'" + key + "'}\"";
  };
  for (const std::string_view id : {"transformers", "transformers@5.0"}) {
    INFO(id);
    for (const std::string type : {"linear", "dynamic", "yarn"}) {
      CHECK(error("\"" + type + R"(", "mscale_all_dim": 1.0)", id) == missing(type, "factor"));
    }
    CHECK(error(R"("longrope", "factor": 4, "long_factor": [1.0])", id)
          == missing("longrope", "short_factor"));
    CHECK(error(R"("longrope", "factor": 4, "short_factor": [1.0])", id)
          == missing("longrope", "long_factor"));
    CHECK(error(R"("llama3", "low_freq_factor": 1, "high_freq_factor": 4)", id)
          == missing("llama3", "factor"));
    CHECK(error(R"("llama3", "factor": 4, "high_freq_factor": 4)", id)
          == missing("llama3", "low_freq_factor"));
    CHECK(error(R"("llama3", "factor": 4, "low_freq_factor": 1)", id)
          == missing("llama3", "high_freq_factor"));
  }
}

// standardize_rope_params, modeling_rope_utils.py@decba1d2 L742, before which vLLM has renamed su
// and telechat3-yarn (transformers_utils/config.py@0036026e).
TEST_CASE("transformers 5 fills in the original length that vLLM indexes for the types that have "
          "one",
          "[engines]") {
  for (const std::string_view id :
       {"vllm", "vllm@56446", "vllm@41744", "vllm@41569", "vllm@32623", "vllm-ascend"}) {
    for (const std::string type : {"yarn", "telechat3-yarn", "llama3", "longrope", "su"}) {
      INFO(id << " " << type);
      const engines::EngineValue value =
          evaluate(config("deepseek_v3",
                          R"("rope_scaling": {"rope_type": ")" + type
                              + R"(", "factor": 40, "mscale_all_dim": 0.707, "low_freq_factor": 1.0,
                     "high_freq_factor": 4.0, "short_factor": [1.0], "long_factor": [2.0]})"),
                   id);
      CHECK(value.error.empty());
      REQUIRE(value.decode);
      CHECK(*value.decode == Approx(k_v2).epsilon(1e-12));
    }
    for (const std::string type : {"linear", "dynamic", "ntk"}) {
      INFO(id << " " << type);
      CHECK(evaluate(config("deepseek_v3",
                            R"("rope_scaling": {"rope_type": ")" + type + R"(", "factor": 40})"),
                     id)
                .error
            == "KeyError: 'original_max_position_embeddings'");
    }
  }
}
