#pragma once

#include "support/catch.hpp"

#include <mla_scale/model/load.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <string>

/// The scale of a small model of `model_type` with the members `rope`.
inline mla_scale::Result<mla_scale::scale::SoftmaxScale> derive(const std::string& model_type,
                                                                const std::string& rope) {
  const mla_scale::model::LoadedModel model = mla_scale::model::load_model_text(
      R"({"model_type": ")" + model_type
          + R"(", "num_attention_heads": 4, "hidden_size": 256, "q_lora_rank": null,
          "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
          "max_position_embeddings": 163840)"
          + (rope.empty() ? "" : ", " + rope) + "}",
      "config.json");
  REQUIRE(model.config() != nullptr);
  return mla_scale::scale::derive_softmax_scale(*model.config());
}

/// rope_scaling of type yarn with factor 40 over 4096, and `more` members.
inline std::string yarn(const std::string& more) {
  return R"("rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096)"
         + (more.empty() ? "" : ", " + more) + "}";
}
