#include "readers.hpp"

#include <fmt/format.h>

namespace mla_scale::model {
namespace {

/// One width, the default that its family's class has, and what to call it.
struct Completion {
  Sourced<std::int64_t> Dims::*field;
  std::int64_t ClassDefaults::*fallback;
  std::string_view key;
  bool required;
};

constexpr Completion k_completions[] = {
    {&Dims::num_attention_heads, &ClassDefaults::num_attention_heads, "num_attention_heads", true},
    {&Dims::hidden_size, &ClassDefaults::hidden_size, "hidden_size", false},
    {&Dims::num_hidden_layers, &ClassDefaults::num_hidden_layers, "num_hidden_layers", false},
    {&Dims::q_lora_rank, &ClassDefaults::q_lora_rank, "q_lora_rank", false},
    {&Dims::kv_lora_rank, &ClassDefaults::kv_lora_rank, "kv_lora_rank", true},
    {&Dims::qk_nope_head_dim, &ClassDefaults::qk_nope_head_dim, "qk_nope_head_dim", true},
    {&Dims::qk_rope_head_dim, &ClassDefaults::qk_rope_head_dim, "qk_rope_head_dim", true},
    {&Dims::v_head_dim, &ClassDefaults::v_head_dim, "v_head_dim", true},
    {&Dims::max_position_embeddings, &ClassDefaults::max_position_embeddings,
     "max_position_embeddings", false},
};

/// Where the object that lacks a key starts.
Position scope_position(const MlaConfig& config) {
  const json::Value root = config.document->root();
  return json::resolve(root, config.text_pointer).value_or(root).position();
}

Error missing(const MlaConfig& config, std::string_view key, const Origin& origin) {
  const bool null = origin.kind == Origin::Kind::null;
  const std::string whose =
      config.family_guessed ? "" : fmt::format(", and {} has no default for it", config.family->id);
  return Error{ErrorKind::schema,
               null ? fmt::format("{} is null, but the attention needs it", key)
                    : fmt::format("{} is missing{}", key, whose),
               config.source, null ? origin.pointer : config.text_pointer + "/" + std::string(key),
               null || !config.document ? origin.position : scope_position(config)};
}

/// DeepSeek V4 style: one head of width head_dim serves as K and V, so head_dim is the width that
/// counts.
std::optional<Error> complete_shared_kv(MlaConfig& config) {
  Dims& dims = config.dims;
  if (!dims.head_dim) {
    if (config.family_guessed || dims.head_dim.origin.kind == Origin::Kind::null) {
      return missing(config, "head_dim", dims.head_dim.origin);
    }
    dims.head_dim = Sourced<std::int64_t>::defaulted(
        512, fmt::format("{}: {}", config.family->id, config.family->defaults.source));
  }
  const std::int64_t rope = dims.qk_rope_head_dim.value_or(0);
  if (rope > *dims.head_dim) {
    return Error{ErrorKind::schema,
                 fmt::format("qk_rope_head_dim {} is wider than head_dim {}", rope, *dims.head_dim),
                 config.source, dims.qk_rope_head_dim.origin.pointer,
                 dims.qk_rope_head_dim.origin.position};
  }
  dims.qk_nope_head_dim =
      Sourced<std::int64_t>::derived(*dims.head_dim - rope, "head_dim - qk_rope_head_dim");
  dims.v_head_dim =
      Sourced<std::int64_t>::derived(*dims.head_dim, "head_dim: K and V are the same tensor");
  dims.qk_head_dim = Sourced<std::int64_t>(*dims.head_dim, dims.head_dim.origin);
  dims.kv_lora_rank = {};
  return std::nullopt;
}

} // namespace

std::optional<Error> complete_dims(MlaConfig& config) {
  Dims& dims = config.dims;
  const bool shared = config.attention == AttentionKind::shared_kv;
  // In GGUF an absent q_lora_rank means that there is none; its other keys have no class defaults
  // behind them.
  const bool has_class = config.format != Format::gguf && config.format != Format::mistral;
  for (const Completion& completion : k_completions) {
    Sourced<std::int64_t>& field = dims.*completion.field;
    const std::int64_t fallback = has_class ? config.family->defaults.*completion.fallback : -1;
    const bool given = field || field.origin.kind == Origin::Kind::null;
    if (!given && fallback >= 0 && !(fallback == 0 && completion.field == &Dims::q_lora_rank)) {
      field = Sourced<std::int64_t>::defaulted(
          fallback, fmt::format("{}: {}", config.family->id, config.family->defaults.source));
    }
    const bool null_v =
        completion.field == &Dims::v_head_dim && field.origin.kind == Origin::Kind::null;
    if (null_v && dims.hidden_size && dims.num_attention_heads) {
      field =
          Sourced<std::int64_t>::derived(*dims.hidden_size / *dims.num_attention_heads,
                                         "v_head_dim is null: hidden_size / num_attention_heads");
    }
    const bool heads = completion.field == &Dims::num_attention_heads;
    // The head count enters no scale, and GGUF headers cut out of logs may lack it.
    const bool needed_here = heads ? config.format != Format::gguf
                                   : !shared || completion.field == &Dims::qk_rope_head_dim;
    if (!field && completion.required && needed_here) {
      return missing(config, completion.key, field.origin);
    }
  }
  if (dims.q_lora_rank && *dims.q_lora_rank == 0) {
    dims.q_lora_rank.value.reset(); // 0 is DeepSeek's way to say that there is none
  }
  if (shared) {
    return complete_shared_kv(config);
  }
  if (!dims.qk_head_dim) {
    dims.qk_head_dim = Sourced<std::int64_t>::derived(
        *dims.qk_nope_head_dim + *dims.qk_rope_head_dim, "qk_nope_head_dim + qk_rope_head_dim");
  }
  dims.latent_dim = Sourced<std::int64_t>::derived(*dims.kv_lora_rank + *dims.qk_rope_head_dim,
                                                   "kv_lora_rank + qk_rope_head_dim");
  return std::nullopt;
}

} // namespace mla_scale::model
