#include "config_reader.hpp"
#include "readers.hpp"

#include <fmt/format.h>

namespace mla_scale::model {
namespace {

void read_mistral_dims(ConfigReader& reader, Dims& dims) {
  dims.num_attention_heads = reader.width({"n_heads"});
  dims.num_key_value_heads = reader.width({"n_kv_heads"});
  dims.hidden_size = reader.width({"dim"});
  dims.num_hidden_layers = reader.width({"n_layers"});
  dims.q_lora_rank = reader.width({"q_lora_rank"}, true);
  dims.kv_lora_rank = reader.width({"kv_lora_rank"});
  dims.qk_nope_head_dim = reader.width({"qk_nope_head_dim"});
  dims.qk_rope_head_dim = reader.width({"qk_rope_head_dim"}, true);
  dims.v_head_dim = reader.width({"v_head_dim"});
  dims.head_dim = reader.width({"head_dim"}, true);
  dims.max_position_embeddings = reader.size({"max_position_embeddings", "max_seq_len"});
}

/// yarn{factor, original_max_position_embeddings, beta, alpha, apply_scale}: beta and alpha are
/// beta_fast and beta_slow.
void read_yarn(ConfigReader& reader, Rope& rope) {
  rope.type = Sourced<std::string>::defaulted("default", "no yarn in the file");
  rope.theta_outside = reader.positive({"rope_theta"});
  rope.theta = rope.theta_outside ? rope.theta_outside
                                  : Sourced<double>::defaulted(10000, "no rope_theta in the file");
  rope.interleaved = Sourced<bool>::defaulted(true, "Mistral's own layout");
  const auto yarn = reader.object("yarn");
  if (!yarn) {
    return;
  }
  rope.container = "yarn";
  rope.container_pointer = yarn->pointer();
  rope.type = Sourced<std::string>("yarn", origin_of(*yarn, yarn->path()));
  ConfigReader inner(*yarn);
  rope.factor = inner.positive({"factor"});
  rope.original_max_position_embeddings = inner.positive({"original_max_position_embeddings"});
  rope.beta_fast = inner.number({"beta"});
  rope.beta_slow = inner.number({"alpha"});
  rope.apply_scaling = inner.flag({"apply_scale"});
  for (auto member = yarn->first(); member; member = member->next()) {
    rope.keys.emplace_back(member->key());
  }
  reader.adopt_error(inner);
}

} // namespace

Outcome read_mistral(const ModelFile& file, const std::shared_ptr<const json::Document>& document) {
  MlaConfig config;
  config.path = file.path;
  config.source = file.source;
  config.format = Format::mistral;
  config.document = document;
  ConfigReader reader(document->root());
  const auto nope = document->root().find("qk_nope_head_dim");
  const auto rank = document->root().find("kv_lora_rank");
  if ((!nope || nope->is_null()) && (!rank || rank->is_null())) {
    return NotMla{config.path,
                  config.source,
                  config.format,
                  {},
                  {},
                  "not MLA: a Mistral model without kv_lora_rank and qk_nope_head_dim"};
  }
  // Large 3 and Small 4 differ in geometry only; the law is the same.
  config.family = find_family_by_model_type("mistral_large3");
  read_mistral_dims(reader, config.dims);
  read_yarn(reader, config.rope);
  if (const auto scaling = reader.object("llama_4_scaling")) {
    ConfigReader inner(*scaling);
    config.extras.llama_4_beta = inner.number({"beta"});
    config.extras.llama_4_original = inner.positive({"original_max_position_embeddings"});
    reader.adopt_error(inner);
  }
  if (reader.error()) {
    return *reader.error();
  }
  if (std::optional<Error> error = complete_dims(config)) {
    return *error;
  }
  return config;
}

} // namespace mla_scale::model
