#pragma once

#include <mla_scale/json/document.hpp>
#include <mla_scale/model/family.hpp>
#include <mla_scale/model/sourced.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mla_scale::model {

/// The kinds of model file that are understood, told from their content.
enum class Format { huggingface, mistral, deepseek, gguf };

[[nodiscard]] std::string_view to_string(Format format);

/// Sizes of the attention block, in elements. All are checked to be positive and below 2^31 where
/// present.
struct Dims {
  Sourced<std::int64_t> num_attention_heads;
  Sourced<std::int64_t> num_key_value_heads;
  Sourced<std::int64_t> hidden_size;
  Sourced<std::int64_t> num_hidden_layers;
  Sourced<std::int64_t> q_lora_rank; ///< empty when the query has no low-rank projection
  Sourced<std::int64_t> kv_lora_rank;
  Sourced<std::int64_t> qk_nope_head_dim;
  Sourced<std::int64_t> qk_rope_head_dim;
  Sourced<std::int64_t> v_head_dim;
  Sourced<std::int64_t> head_dim; ///< as the file has it; not the attention width in MLA
  Sourced<std::int64_t> max_position_embeddings;

  Sourced<std::int64_t> qk_head_dim_key; ///< the key of that name, which only some classes read

  /// Width of q and k before absorption: qk_nope_head_dim + qk_rope_head_dim (head_dim where K = V
  /// is shared).
  Sourced<std::int64_t> qk_head_dim;
  /// Width of the cache row and of absorbed decode: kv_lora_rank + qk_rope_head_dim. Empty where K
  /// = V is shared.
  Sourced<std::int64_t> latent_dim;
};

/// Rotary embedding, from whichever spelling the file uses.
struct Rope {
  Sourced<std::string> type; ///< the effective type: "default", "yarn", "longrope", ...
  bool rotated = true;       ///< false: NoPE, the slice counts in the width but is never rotated
  Sourced<bool> interleaved; ///< true: pairs (2i, 2i+1); false: pairs (i, i + d/2)
  Sourced<double> theta;
  Sourced<double> factor;
  Sourced<double> original_max_position_embeddings;
  Sourced<double> beta_fast;
  Sourced<double> beta_slow;
  Sourced<double> mscale;
  Sourced<double> mscale_all_dim;
  Sourced<double> attention_factor;
  Sourced<bool> truncate;

  // The spellings, which engines read differently.
  Sourced<std::string> type_key;      ///< "type" inside the dictionary
  Sourced<std::string> rope_type_key; ///< "rope_type" inside the dictionary
  std::string
      container; ///< "rope_scaling", "rope_parameters", "yarn"; empty when there is no dictionary
  std::string container_pointer; ///< JSON pointer of the dictionary in use
  std::string layer; ///< "full_attention", "main": the nested dictionary in use; empty when flat
  bool both_containers = false;   ///< rope_scaling and rope_parameters are both non-empty
  bool containers_differ = false; ///< and some key that both have says different things
  Sourced<double> theta_outside;  ///< rope_theta beside the dictionary
  Sourced<double> theta_inside;   ///< rope_theta inside it
  Sourced<bool> apply_scaling;    ///< apply_yarn_scaling, or apply_scale in Mistral's spelling
  Sourced<double> attn_factor;    ///< not attention_factor: vLLM's and GGUF's extra multiplier
  std::vector<std::string> keys;  ///< every key of the dictionary in use, in file order

  [[nodiscard]] bool has_dictionary() const { return !container.empty(); }
  /// True for yarn and the names that engines give it: "yarn", "deepseek_yarn", "telechat3-yarn".
  [[nodiscard]] bool is_yarn() const;
  /// True when type and rope_type are both there and are no two names of the same ("su", the old
  /// name of "longrope"; "mrope" beside "default").
  [[nodiscard]] bool types_differ() const;
};

/// Things beside the softmax scale that change the logits.
struct Extras {
  Sourced<bool> mla_scale_q_lora;  ///< LongCat: q is multiplied by sqrt(hidden_size / q_lora_rank)
  Sourced<bool> mla_scale_kv_lora; ///< LongCat: the latent by sqrt(hidden_size / kv_lora_rank)
  Sourced<double>
      llama_4_beta; ///< q is multiplied by 1 + beta * ln(1 + floor(position / original))
  Sourced<double> llama_4_original;     ///< that original length
  Sourced<std::string> compress_ratios; ///< DeepSeek V4: present, shown as text
  Sourced<std::int64_t> index_head_dim; ///< a sparse indexer chooses the keys
  Sourced<std::int64_t> index_topk;
};

/// Keys that only GGUF files have.
struct GgufKeys {
  std::string architecture;
  Sourced<std::int64_t> key_length;
  Sourced<std::int64_t> value_length;
  Sourced<std::int64_t> key_length_mla;
  Sourced<std::int64_t> value_length_mla;
  Sourced<std::int64_t> dimension_count;
  Sourced<double> yarn_log_multiplier; ///< as stored: 0.1 * mscale_all_dim for the deepseek2 family
  Sourced<double> attn_factor;
  Sourced<std::string> scaling_type;
  std::int64_t split_count = 1;
};

/// One model's attention as its file describes it.
struct MlaConfig {
  std::string path;   ///< what was asked for: a model directory or a file
  std::string source; ///< the file that was read; "-" for standard input
  Format format = Format::huggingface;
  Sourced<std::string> model_type;      ///< of the outermost object
  Sourced<std::string> text_model_type; ///< of the nested text model, when there is one
  std::vector<std::string> architectures;
  std::string text_pointer; ///< "/text_config" when the attention keys are nested; empty otherwise
  const Family* family = nullptr;
  bool family_guessed = false; ///< no name matched; judged by its MLA keys alone
  bool told_by_keys =
      false; ///< compress_ratios makes it DeepSeek V4 style although its name says otherwise
  AttentionKind attention = AttentionKind::mla;
  Dims dims;
  Rope rope;
  Extras extras;
  GgufKeys gguf;
  std::shared_ptr<const json::Document> document; ///< null for GGUF
};

/// A model that has no MLA to judge, and what it has instead.
struct NotMla {
  std::string path;
  std::string source;
  Format format = Format::huggingface;
  Sourced<std::string> model_type;
  std::vector<std::string> architectures;
  std::string reason; ///< one polite line
};

} // namespace mla_scale::model
