#include "config_reader.hpp"
#include "readers.hpp"

#include <fmt/format.h>

namespace mla_scale::model {
namespace {

constexpr std::string_view k_model_args =
    "ModelArgs of deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788";
constexpr std::string_view k_model_args_v4 =
    "ModelArgs of deepseek-ai/DeepSeek-V4-Flash inference/model.py@60d8d707";

template <typename T>
void default_to(Sourced<T>& field, T value, std::string_view reason) {
  if (!field && field.origin.kind == Origin::Kind::absent) {
    field = Sourced<T>::defaulted(value, std::string(reason));
  }
}

void read_deepseek_dims(ConfigReader& reader, Dims& dims, bool shared) {
  const std::string_view whose = shared ? k_model_args_v4 : k_model_args;
  dims.num_attention_heads = reader.width({"n_heads"});
  dims.hidden_size = reader.width({"dim"});
  dims.num_hidden_layers = reader.width({"n_layers"});
  dims.q_lora_rank = reader.width({"q_lora_rank"}, true);
  dims.qk_rope_head_dim = reader.width({"qk_rope_head_dim", "rope_head_dim"}, true);
  default_to<std::int64_t>(dims.num_attention_heads, shared ? 64 : 16, whose);
  default_to<std::int64_t>(dims.hidden_size, shared ? 4096 : 2048, whose);
  default_to<std::int64_t>(dims.num_hidden_layers, shared ? 7 : 27, whose);
  default_to<std::int64_t>(dims.q_lora_rank, shared ? 1024 : 0, whose);
  default_to<std::int64_t>(dims.qk_rope_head_dim, 64, whose);
  if (shared) {
    dims.head_dim = reader.width({"head_dim"});
    default_to<std::int64_t>(dims.head_dim, 512, whose);
    return;
  }
  dims.kv_lora_rank = reader.width({"kv_lora_rank"});
  dims.qk_nope_head_dim = reader.width({"qk_nope_head_dim"});
  dims.v_head_dim = reader.width({"v_head_dim"});
  default_to<std::int64_t>(dims.kv_lora_rank, 512, whose);
  default_to<std::int64_t>(dims.qk_nope_head_dim, 128, whose);
  default_to<std::int64_t>(dims.v_head_dim, 128, whose);
}

/// The fields that stand for rope; DeepSeek's single key mscale plays the part of mscale_all_dim.
void read_rope_fields(ConfigReader& reader, MlaConfig& config, bool shared) {
  Rope& rope = config.rope;
  const std::string_view whose = shared ? k_model_args_v4 : k_model_args;
  rope.theta_outside = reader.positive({"rope_theta"});
  rope.theta = rope.theta_outside;
  rope.factor = reader.positive({"rope_factor"});
  rope.beta_fast = reader.number({"beta_fast"});
  rope.beta_slow = reader.number({"beta_slow"});
  rope.original_max_position_embeddings = reader.number({"original_seq_len"});
  config.dims.max_position_embeddings = reader.size({"max_seq_len"});
  default_to(rope.theta, 10000.0, whose);
  default_to(rope.factor, 40.0, whose);
  default_to(rope.beta_fast, 32.0, whose);
  default_to(rope.beta_slow, 1.0, whose);
  default_to(rope.original_max_position_embeddings, shared ? 0.0 : 4096.0, whose);
  default_to<std::int64_t>(config.dims.max_position_embeddings, 16384, whose);
  if (!shared) {
    rope.mscale = reader.number({"mscale"});
    default_to(rope.mscale, 1.0, whose);
    rope.mscale_all_dim = rope.mscale;
  }
  const double original = rope.original_max_position_embeddings.value_or(0);
  const bool on =
      shared ? original > 0
             : static_cast<double>(config.dims.max_position_embeddings.value_or(0)) > original;
  rope.type = Sourced<std::string>::derived(on ? "yarn" : "default",
                                            shared ? "yarn when original_seq_len > 0"
                                                   : "yarn when max_seq_len > original_seq_len");
  rope.interleaved = Sourced<bool>::defaulted(true, std::string(whose));
}

} // namespace

Outcome read_deepseek(const ModelFile& file,
                      const std::shared_ptr<const json::Document>& document) {
  MlaConfig config;
  config.path = file.path;
  config.source = file.source;
  config.format = Format::deepseek;
  config.document = document;
  const json::Value root = document->root();
  const bool shared = root.find("compress_ratios") || root.find("rope_head_dim");
  config.family = find_family_by_model_type(shared                       ? "deepseek_v4"
                                            : root.find("index_n_heads") ? "deepseek_v32"
                                                                         : "deepseek_v3");
  config.attention = config.family->attention;
  ConfigReader reader(root);
  read_deepseek_dims(reader, config.dims, shared);
  read_rope_fields(reader, config, shared);
  config.extras.index_head_dim = reader.size({"index_head_dim"});
  config.extras.index_topk = reader.size({"index_topk"}, true);
  if (reader.error()) {
    return *reader.error();
  }
  if (std::optional<Error> error = complete_dims(config)) {
    return *error;
  }
  return config;
}

} // namespace mla_scale::model
