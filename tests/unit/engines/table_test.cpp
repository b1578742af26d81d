#include "support/catch.hpp"

#include <mla_scale/engines/describe.hpp>
#include <mla_scale/engines/engine_rule.hpp>

#include <algorithm>
#include <set>

using namespace mla_scale;

// The identifiers that users and tests of other tools rely on.
TEST_CASE("every engine that is promised has its row", "[engines]") {
  for (const std::string_view id : {"vllm",
                                    "vllm@32623",
                                    "vllm@41569",
                                    "vllm@41744",
                                    "transformers",
                                    "transformers@4.51",
                                    "transformers@4.54",
                                    "deepseek-inference",
                                    "sglang",
                                    "sglang@before-26203",
                                    "tensorrt-llm",
                                    "llama.cpp",
                                    "llama.cpp@17945",
                                    "llama.cpp@7519",
                                    "ik-llama.cpp",
                                    "ollama",
                                    "megatron-lm",
                                    "megatron-lm@0.13",
                                    "megatron-bridge",
                                    "nemo-automodel",
                                    "mlx-lm",
                                    "ktransformers",
                                    "lmdeploy",
                                    "turbomind",
                                    "vllm-ascend",
                                    "vllm-ascend-xlite",
                                    "atom",
                                    "torchtitan",
                                    "maxtext",
                                    "mistral.rs",
                                    "candle",
                                    "tinygrad",
                                    "tgi",
                                    "rtp-llm",
                                    "exllamav3",
                                    "lightllm",
                                    "xllm",
                                    "chitu",
                                    "mindformers",
                                    "chatllm.cpp",
                                    "mobius",
                                    "mobius@before-548",
                                    "flashmla-default",
                                    "aiter-default",
                                    "flashinfer-default"}) {
    INFO(id);
    CHECK(engines::find_engine_rule(id) != nullptr);
  }
}

TEST_CASE("rows have unique ids, versions and a source, and can be described", "[engines]") {
  std::set<std::string_view> ids;
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    INFO(rule.id);
    CHECK(ids.insert(rule.id).second);
    CHECK_FALSE(rule.name.empty());
    CHECK_FALSE(rule.versions.empty());
    CHECK_FALSE(rule.source.empty());
    CHECK((rule.special == nullptr || !rule.formula.empty()));
    const auto lines = engines::describe(rule);
    for (const std::string_view label : {"engine", "versions", "source", "how sure"}) {
      CHECK(std::any_of(lines.begin(), lines.end(),
                        [&](const auto& line) { return line.label == label; }));
    }
  }
}

TEST_CASE("an era stands behind the newest state of its engine", "[engines]") {
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    INFO(rule.id);
    CHECK(engines::find_engine_rule(rule.id.substr(0, rule.id.find('@'))) != nullptr);
  }
}

TEST_CASE("the description of the regression names formula, versions and source", "[engines]") {
  std::string all;
  for (const engines::Description& line :
       engines::describe(*engines::find_engine_rule("vllm@32623"))) {
    all += line.text + "\n";
  }
  CHECK(all.find("latent_dim^-1/2") != std::string::npos);
  CHECK(all.find("2026-05-01") != std::string::npos);
  CHECK(all.find("https://github.com/vllm-project/vllm/pull/32623") != std::string::npos);
}
