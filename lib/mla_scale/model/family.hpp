#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace mla_scale::model {

/// What kind of attention a model has.
enum class AttentionKind {
  mla,       ///< Multi-head Latent Attention with a rotated slice
  mla_nope,  ///< MLA whose rope slice counts in the width but is never rotated, or is empty
  shared_kv, ///< DeepSeek V4 style: one K = V head, no kv_lora_rank; not MLA proper
  none,      ///< something else
};

/// "mla", "mla_nope", "shared_kv", "none".
[[nodiscard]] std::string_view to_string(AttentionKind kind);

/// When a family multiplies the softmax scale by g(factor, mscale_all_dim)^2.
enum class ScaleRule {
  deepseek,      ///< for any rope type but "default", with mscale_all_dim present and not 0
  never,         ///< qk_head_dim^-1/2, whatever the rope keys say
  deepseek_yarn, ///< only for the literal rope type "deepseek_yarn"
  mistral,       ///< as deepseek, unless apply_scale is false; what the key means is disputed
};

/// Sizes that a model class uses when the config leaves the key out; -1 where it has no default, 0
/// for "none".
struct ClassDefaults {
  std::int64_t num_attention_heads = -1;
  std::int64_t hidden_size = -1;
  std::int64_t num_hidden_layers = -1;
  std::int64_t q_lora_rank = -1;
  std::int64_t kv_lora_rank = -1;
  std::int64_t qk_nope_head_dim = -1;
  std::int64_t qk_rope_head_dim = -1;
  std::int64_t v_head_dim = -1;
  std::int64_t max_position_embeddings = -1;
  double rope_theta = 10000;
  std::string_view source; ///< where these stand
};

/// One row of the families table: how a family is recognised and which law its attention follows.
struct Family {
  std::string_view id;
  std::string_view title;
  std::string_view model_types;   ///< separated by spaces
  std::string_view architectures; ///< likewise; a trailing '*' matches any ending
  std::string_view gguf_architectures;
  AttentionKind attention = AttentionKind::mla;
  ScaleRule rule = ScaleRule::deepseek;
  std::optional<bool>
      interleaved; ///< pairing of the rotated slice; empty where the key rope_interleave decides
  bool lora_scales_by_default =
      false; ///< q and latent are rescaled by sqrt(hidden / rank) unless switched off
  ClassDefaults defaults;
  std::string_view beside;  ///< things beside the scale that change logits; empty when none
  std::string_view formula; ///< the scale in words
  std::string_view source;
  bool reads_qk_head_dim =
      false; ///< the key qk_head_dim, where present, is the width; elsewhere it is not looked at
};

/// All families, most specific first.
[[nodiscard]] std::span<const Family> families();

/// The row whose model_types or architectures hold the name; null when none does.
[[nodiscard]] const Family* find_family_by_model_type(std::string_view model_type);
[[nodiscard]] const Family* find_family_by_architecture(std::string_view architecture);
[[nodiscard]] const Family* find_family_by_gguf_architecture(std::string_view architecture);

/// The row for a model that has the MLA keys and a name that no row knows: judged by the DeepSeek
/// rule.
[[nodiscard]] const Family& unknown_family();

} // namespace mla_scale::model
