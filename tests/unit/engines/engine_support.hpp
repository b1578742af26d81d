#pragma once

#include "support/catch.hpp"

#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/model/load.hpp>

#include <string>
#include <string_view>

namespace engine_test {

// Of these widths: softmax scales, and what YaRN makes of factor 40, g = 1 + 0.1 mscale ln 40.
inline constexpr double k_plain = 0.07216878364870322;    // 192^-1/2
inline constexpr double k_latent = 0.041666666666666664;  // 576^-1/2
inline constexpr double k_v3 = 0.1352337788608801;        // mscale_all_dim 1: g(1)^2 / sqrt(192)
inline constexpr double k_v2 = 0.1147213867929261;        // mscale_all_dim 0.707
inline constexpr double k_magnitude = 1.3688879454113936; // g(1)
inline constexpr double k_ratio = 1.0857263992561355;     // g(1) / g(0.707)

inline const std::string k_equal_keys = R"("mscale": 1.0, "mscale_all_dim": 1.0)";
inline const std::string k_split_keys = R"("mscale": 1.0, "mscale_all_dim": 0.707)";

/// A config with DeepSeek-V3's widths (128 + 64, latent 512, v 128) and the rope given as JSON.
inline std::string config(const std::string& model_type, const std::string& rope,
                          int max_positions = 163840) {
  return R"({"model_type": ")" + model_type
         + R"(", "num_attention_heads": 4, "hidden_size": 256, "q_lora_rank": null, )"
           R"("kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, )"
           R"("v_head_dim": 128, "max_position_embeddings": )"
         + std::to_string(max_positions) + (rope.empty() ? "" : ", " + rope) + "}";
}

/// rope_scaling of type yarn, factor 40 over 4096, and more keys.
inline std::string yarn(const std::string& more) {
  return R"("rope_scaling": {"type": "yarn", "factor": 40, )"
         R"("original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1)"
         + (more.empty() ? "" : ", " + more) + "}";
}

inline mla_scale::engines::EngineValue evaluate(const mla_scale::model::LoadedModel& loaded,
                                                std::string_view id) {
  INFO(id);
  REQUIRE(loaded.config() != nullptr);
  const mla_scale::engines::EngineRule* rule = mla_scale::engines::find_engine_rule(id);
  REQUIRE(rule != nullptr);
  const auto law = mla_scale::scale::derive_softmax_scale(*loaded.config());
  return mla_scale::engines::evaluate(*rule, *loaded.config(), law ? &*law : nullptr);
}

inline mla_scale::engines::EngineValue evaluate(const std::string& json, std::string_view id) {
  return evaluate(mla_scale::model::load_model_text(json, "config.json"), id);
}

/// One engine and the numbers it should come to; a decode of 0 stands for the number of prefill.
struct Expected {
  std::string_view id;
  double prefill = 0;
  double decode = 0;
};

template <typename Model>
void check(const Model& model, std::initializer_list<Expected> rows) {
  for (const Expected& row : rows) {
    INFO(row.id);
    const mla_scale::engines::EngineValue value = evaluate(model, row.id);
    INFO(value.error << " " << value.because);
    REQUIRE(value.prefill);
    REQUIRE(value.decode);
    CHECK(*value.prefill == Approx(row.prefill).epsilon(1e-12));
    CHECK(*value.decode == Approx(row.decode == 0 ? row.prefill : row.decode).epsilon(1e-12));
  }
}

} // namespace engine_test
