// The lines of a description. ExpectedLine texts: the fields of the row in words, by hand.

#include "support/catch.hpp"

#include <mla_scale/engines/describe.hpp>

#include <algorithm>

using namespace mla_scale;

namespace {

/// The text under a label; empty where the line is left out.
std::string line(std::string_view id, std::string_view label) {
  const engines::EngineRule* rule = engines::find_engine_rule(id);
  REQUIRE(rule != nullptr);
  const auto lines = engines::describe(*rule);
  const auto found = std::find_if(lines.begin(), lines.end(),
                                  [&](const auto& entry) { return entry.label == label; });
  return found == lines.end() ? std::string() : found->text;
}

struct ExpectedLine {
  std::string_view id;
  std::string_view label;
  std::string_view text;
};

} // namespace

TEST_CASE("a description says what the row computes", "[engines]") {
  for (const ExpectedLine& row : std::initializer_list<ExpectedLine>{
           {"vllm", "formula",
            "qk_head_dim^-1/2 * g(factor, mscale_all_dim)^2 in prefill and decode"},
           {"vllm@32623", "prefill", "latent_dim^-1/2"},
           {"vllm@32623", "decode", "qk_head_dim^-1/2 * g(factor, mscale_all_dim)^2"},
           {"torchtitan", "formula",
            "qk_head_dim^-1/2 * g(factor, mscale)^2 in prefill and decode"},
           {"megatron-lm@0.10", "formula",
            "qk_head_dim^-1/2 * g(factor, 0.707)^2 in prefill and decode"},
           {"maxtext@before-1370", "formula",
            "1 / (qk_head_dim^-1/2 * g(factor, mscale)^2) in prefill and decode"},
           {"sglang@before-3785", "formula", "192^-1/2 in prefill and decode"},
           {"vllm-tpu@before-521", "formula", "qk_head_dim^-1 in prefill and decode"},
           {"aiter-default@ps", "formula", "1/sqrt(v_head_dim)"},
           {"mcore-bridge", "applies", "for the rope type \"yarn\", exactly"},
           {"tinygrad", "applies", ""},
           {"llama.cpp", "applies", ""},
           {"vllm", "off with", "attention_factor exactly 1.0"},
           {"vllm@41744", "off with", "apply_yarn_scaling false"},
           {"transformers", "off with", ""},
           {"remote-code", "type from", "type only; without it KeyError: 'type'"},
           {"tinygrad", "type from", ""},
           {"lmdeploy", "missing", "factor: 1; mscale_all_dim: 0"},
           {"maxtext", "missing", "factor: 40; mscale: 1"},
           {"angelslim", "missing", "factor: KeyError; mscale: 1; KeyError without any of: mscale"},
           {"chitu", "missing", "factor: 40"},
           {"tinygrad", "missing", ""},
           {"llama.cpp", "missing", ""},
           {"nemo-automodel", "missing", ""},
           {"vllm", "missing",
            "factor: KeyError; mscale_all_dim: 0; KeyError without any of: factor "
            "original_max_position_embeddings; for yarn, llama3 and longrope transformers 5 has "
            "written max_position_embeddings for a missing original length before"},
           {"candle", "missing",
            "YaRN is off unless all of these are there: type factor "
            "original_max_position_embeddings beta_fast beta_slow mscale mscale_all_dim"},
           {"torchtitan", "cos, sin", "1"},
           {"lightllm", "cos, sin", ""},
           {"llama.cpp", "cos, sin", ""},
           {"candle", "Mistral", ""},
           {"vllm@41744", "Mistral", "apply_scale false leaves mscale out"},
           {"llama.cpp@17945", "Mistral", "apply_scale is not looked at, mscale_all_dim is 1"},
           {"chitu", "how sure", "read"},
           {"vllm@32623", "how sure", "reported"},
           {"ollama", "how sure", "inferred"}}) {
    INFO(row.id << " " << row.label);
    CHECK(line(row.id, row.label) == row.text);
  }
}
