#include "config_reader.hpp"
#include "readers.hpp"
#include "rope_reader.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::model {
namespace {

/// Names under which multimodal wrappers and draft heads keep the config of the text model.
constexpr std::string_view k_text_keys[] = {"text_config", "language_config", "llm_config",
                                            "model"};

std::vector<std::string> architectures_of(ConfigReader& reader) {
  std::vector<std::string> names;
  const auto list = reader.value().find("architectures");
  if (!list || !list->is_array()) {
    return names;
  }
  for (auto element = list->first(); element; element = element->next()) {
    if (const auto name = element->as_string()) {
      names.emplace_back(*name);
    }
  }
  return names;
}

bool has_value(const json::Value& object, std::string_view key) {
  const auto member = object.find(key);
  return member && !member->is_null();
}

bool has_mla_keys(const json::Value& object) {
  return has_value(object, "kv_lora_rank") || has_value(object, "attention_kv_lora_dim")
         || has_value(object, "qk_nope_head_dim") || has_value(object, "compress_ratios");
}

/// How much an object says about latent attention.
int mla_weight(const json::Value& object) {
  constexpr std::string_view k_keys[] = {
      "kv_lora_rank",          "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
      "attention_kv_lora_dim", "attention_qk_dim", "compress_ratios"};
  int weight = 0;
  for (const std::string_view key : k_keys) {
    weight += has_value(object, key) ? 1 : 0;
  }
  return weight;
}

/// The object with most MLA keys, and how many.
struct Candidate {
  json::Value scope;
  int weight = 0;
};

/// Puts a better one among the objects in `object` into `best`; where they are level the outer one
/// and the earlier one stay.
void look_inside(const json::Value& object, int depth, Candidate& best) {
  for (auto member = object.first(); member; member = member->next()) {
    if (!member->is_object()) {
      continue;
    }
    if (const int weight = mla_weight(*member); weight > best.weight) {
      best = {*member, weight};
    }
    if (depth > 1) {
      look_inside(*member, depth - 1, best);
    }
  }
}

/// The object that describes the text model's attention: of the root and the objects in it the one
/// with most MLA keys; without any such key the first object under a name that wrappers use.
json::Value text_scope(const json::Value& root) {
  constexpr int k_deepest = 3; // thinker_config.text_config is two levels down
  Candidate best{root, mla_weight(root)};
  look_inside(root, k_deepest, best);
  if (best.weight > 0) {
    return best.scope;
  }
  for (const std::string_view key : k_text_keys) {
    if (const auto nested = root.find(key); nested && nested->is_object()) {
      return *nested;
    }
  }
  return root;
}

/// The error of a text config that is no object: class defaults are no stand-in for it.
std::optional<Error> unreadable_text(ConfigReader& root) {
  for (const std::string_view key : k_text_keys) {
    if (!root.object(key) && root.error()) {
      return root.error();
    }
  }
  return std::nullopt;
}

/// What names say about the family: the outermost first, architectures before model_type, since
/// converters keep the model_type of a relative (Mistral Large 3 is deepseek_v3 to vLLM, SGLang's
/// V4 is deepseek_ref).
const Family* family_by_name(const MlaConfig& config,
                             const std::vector<std::string>& text_architectures) {
  for (const std::string& name : config.architectures) {
    if (const Family* family = find_family_by_architecture(name)) {
      return family;
    }
  }
  if (const Family* family = find_family_by_model_type(config.model_type.value_or(""))) {
    return family;
  }
  for (const std::string& name : text_architectures) {
    if (const Family* family = find_family_by_architecture(name)) {
      return family;
    }
  }
  return find_family_by_model_type(config.text_model_type.value_or(""));
}

/// "LlamaForCausalLM: 32 heads with 8 key/value heads ..."; what a model without MLA has instead.
std::string describe_other(const json::Value& scope, const std::vector<std::string>& architectures,
                           const std::string& model_type) {
  const std::string name = !architectures.empty() ? architectures.front()
                           : model_type.empty()   ? "this model"
                                                  : model_type;
  const auto number = [&](std::string_view key) {
    const auto member = scope.find(key);
    return member ? member->as_integer().value_or(0) : 0;
  };
  const std::int64_t heads = number("num_attention_heads");
  const std::int64_t kv_heads = number("num_key_value_heads");
  std::string kind = "ordinary attention";
  if (heads > 0 && kv_heads == 1 && heads > 1) {
    kind = fmt::format("multi-query attention with {} heads", heads);
  } else if (heads > 0 && kv_heads > 0 && kv_heads != heads) {
    kind = fmt::format("grouped-query attention with {} heads over {} key/value heads", heads,
                       kv_heads);
  } else if (heads > 0) {
    kind = fmt::format("multi-head attention with {} heads", heads);
  }
  const bool draft =
      name.find("Eagle") != std::string::npos || name.find("Draft") != std::string::npos;
  return fmt::format("not MLA: {} has {}{} and no kv_lora_rank", name, kind,
                     draft ? ", as a draft head of its own," : "");
}

NotMla not_mla(const MlaConfig& config, std::string reason) {
  return NotMla{config.path,       config.source,        config.format,
                config.model_type, config.architectures, std::move(reason)};
}

void read_huggingface_dims(ConfigReader& reader, Dims& dims) {
  dims.num_attention_heads = reader.width({"num_attention_heads", "n_heads", "num_heads"});
  dims.num_key_value_heads = reader.width({"num_key_value_heads"});
  dims.hidden_size = reader.width({"hidden_size", "dim"});
  dims.num_hidden_layers = reader.width({"num_hidden_layers", "num_layers", "n_layers"});
  dims.q_lora_rank = reader.width({"q_lora_rank", "attention_q_lora_dim"}, true);
  dims.kv_lora_rank = reader.width({"kv_lora_rank", "attention_kv_lora_dim"});
  dims.qk_nope_head_dim = reader.width({"qk_nope_head_dim", "attention_qk_dim"});
  dims.qk_rope_head_dim = reader.width({"qk_rope_head_dim", "attention_qk_rope_dim"}, true);
  dims.v_head_dim = reader.width({"v_head_dim", "attention_v_dim"});
  dims.head_dim = reader.width({"head_dim"}, true);
  dims.max_position_embeddings =
      reader.size({"max_position_embeddings", "model_max_length", "max_seq_len"});
}

void read_extras(ConfigReader& reader, const MlaConfig& config, Extras& extras) {
  extras.mla_scale_q_lora = reader.flag({"mla_scale_q_lora", "apply_mla_qkv_lora_rescale"});
  extras.mla_scale_kv_lora = reader.flag({"mla_scale_kv_lora", "apply_mla_qkv_lora_rescale"});
  if (config.family->lora_scales_by_default) {
    for (Sourced<bool>* flag : {&extras.mla_scale_q_lora, &extras.mla_scale_kv_lora}) {
      if (!*flag) {
        *flag = Sourced<bool>::defaulted(
            true, fmt::format("{}: on unless the file says otherwise", config.family->id));
      }
    }
  }
  extras.index_head_dim = reader.size({"index_head_dim"});
  extras.index_topk = reader.size({"index_topk"}, true);
  if (const auto scaling = reader.object("llama_4_scaling")) {
    ConfigReader inner(*scaling);
    extras.llama_4_beta = inner.number({"beta"});
    extras.llama_4_original = inner.positive({"original_max_position_embeddings"});
    reader.adopt_error(inner);
  } else if (!config.rope.container_pointer.empty()) {
    const std::string_view container = config.rope.container;
    if (const auto dictionary = reader.object(container)) {
      ConfigReader inner(*dictionary);
      extras.llama_4_beta = inner.number({"llama_4_scaling_beta"});
      extras.llama_4_original = config.rope.original_max_position_embeddings;
      reader.adopt_error(inner);
    }
  }
  if (const auto ratios = reader.value().find("compress_ratios"); ratios && !ratios->is_null()) {
    extras.compress_ratios = Sourced<std::string>("present", origin_of(*ratios, config.source));
  }
}

/// Why a config whose family may have MLA has none, or an empty string.
std::string switched_off(ConfigReader& reader, const MlaConfig& config) {
  const auto scope = reader.value();
  const Sourced<bool> use_mla = reader.flag({"use_mla"});
  const std::string name = !config.architectures.empty() ? config.architectures.front()
                                                         : config.model_type.value_or("this model");
  if (use_mla && !*use_mla) {
    return fmt::format("not MLA: use_mla is false, so {} has multi-head attention", name);
  }
  const auto rank = scope.find("kv_lora_rank");
  if (rank && rank->is_null()) {
    return fmt::format("not MLA: kv_lora_rank is null, so {} has multi-head attention", name);
  }
  return {};
}

} // namespace

Outcome read_huggingface(const ModelFile& file,
                         const std::shared_ptr<const json::Document>& document) {
  MlaConfig config;
  config.path = file.path;
  config.source = file.source;
  config.document = document;
  ConfigReader root(document->root());
  config.model_type = root.text({"model_type"});
  config.architectures = architectures_of(root);
  if (root.error()) {
    return *root.error();
  }
  const json::Value scope = text_scope(document->root());
  config.text_pointer = scope.pointer();
  ConfigReader reader(scope);
  std::vector<std::string> text_architectures;
  if (!config.text_pointer.empty()) {
    config.text_model_type = reader.text({"model_type"});
    text_architectures = architectures_of(reader);
  }

  config.family = family_by_name(config, text_architectures);
  const bool compressed = has_value(scope, "compress_ratios") && has_value(scope, "head_dim");
  const bool mla_keys = has_mla_keys(scope);
  if (config.family == nullptr && !mla_keys) {
    return not_mla(config,
                   describe_other(scope, config.architectures,
                                  config.text_model_type.value_or(config.model_type.value_or(""))));
  }
  if (config.family == nullptr) {
    config.family = compressed ? find_family_by_model_type("deepseek_v4") : &unknown_family();
    config.family_guessed = true;
  }
  if (const std::optional<Error> error = mla_keys ? std::nullopt : unreadable_text(root)) {
    return *error;
  }
  config.attention = compressed ? AttentionKind::shared_kv : config.family->attention;
  if (compressed && config.family->attention != AttentionKind::shared_kv) {
    config.family = find_family_by_model_type("deepseek_v4");
    config.told_by_keys = true;
  }
  if (config.attention != AttentionKind::shared_kv) {
    if (const std::string reason = switched_off(reader, config); !reason.empty()) {
      return reader.error() ? Outcome(*reader.error()) : Outcome(not_mla(config, reason));
    }
  }

  read_huggingface_dims(reader, config.dims);
  if (config.attention != AttentionKind::shared_kv) {
    config.dims.qk_head_dim_key = reader.width({"qk_head_dim"});
    if (config.family->reads_qk_head_dim) {
      config.dims.qk_head_dim = config.dims.qk_head_dim_key;
    }
  }
  config.rope = read_rope(reader, *config.family);
  read_extras(reader, config, config.extras);
  const Sourced<bool> use_nope = reader.flag({"mla_use_nope"});
  if (reader.error()) {
    return *reader.error();
  }
  if (std::optional<Error> error = complete_dims(config)) {
    return *error;
  }
  const bool no_rope_slice = config.dims.qk_rope_head_dim && *config.dims.qk_rope_head_dim == 0;
  if (config.attention == AttentionKind::mla && (use_nope.value_or(false) || no_rope_slice)) {
    config.attention = AttentionKind::mla_nope;
  } else if (config.attention == AttentionKind::mla_nope && use_nope && !*use_nope) {
    config.attention = AttentionKind::mla;
  }
  config.rope.rotated = config.attention != AttentionKind::mla_nope;
  return config;
}

} // namespace mla_scale::model
