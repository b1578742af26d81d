#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace mla_scale::audit {
namespace {

using model::AttentionKind;

void kv_heads_differ(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (subject.config.attention != AttentionKind::shared_kv
      && subject.config.format != model::Format::gguf && dims.num_key_value_heads.was_read()
      && *dims.num_key_value_heads != *dims.num_attention_heads) {
    hits.at(dims.num_key_value_heads.origin,
            fmt::format("num_key_value_heads is {}, but MLA has one key and value for each of the "
                        "{} heads once the latent is expanded",
                        *dims.num_key_value_heads, *dims.num_attention_heads));
  }
}

void shared_kv_with_mla_keys(const Subject& subject, Hits& hits) {
  if (subject.config.attention != AttentionKind::shared_kv || !subject.is_huggingface()) {
    return;
  }
  for (const std::string_view name : {"kv_lora_rank", "qk_nope_head_dim", "v_head_dim"}) {
    const std::optional<json::Value> value = subject.key(name);
    if (value && !value->is_null()) {
      hits.at(*value, fmt::format("{} stands beside the keys of one shared K = V head; engines "
                                  "that ask for compress_ratios first ignore it, others take the "
                                  "model for MLA",
                                  name));
    }
  }
}

void shared_kv_heads(const Subject& subject, Hits& hits) {
  const model::Sourced<std::int64_t>& heads = subject.config.dims.num_key_value_heads;
  if (subject.config.attention == AttentionKind::shared_kv && heads.was_read() && *heads != 1) {
    hits.at(heads.origin,
            fmt::format("num_key_value_heads is {}, but K and V are one shared head", *heads));
  }
}

void nope_family_rotates(const Subject& subject, Hits& hits) {
  const model::MlaConfig& config = subject.config;
  const std::optional<json::Value> flag = subject.key("mla_use_nope");
  if (subject.is_huggingface() && config.family->attention == AttentionKind::mla_nope && flag
      && !flag->is_null() && config.attention == AttentionKind::mla) {
    hits.at(*flag, fmt::format("mla_use_nope is false, but {} never rotates: vLLM asserts that it "
                               "is true and transformers has no rope there",
                               config.family->id));
  }
}

void nope_family_has_rope_width(const Subject& subject, Hits& hits) {
  const model::Sourced<std::int64_t>& rope = subject.config.dims.qk_rope_head_dim;
  if (subject.is_family("glm5_next") && rope.was_read() && *rope > 0) {
    hits.at(rope.origin,
            fmt::format("qk_rope_head_dim is {}, but glm5_next has no rope slice; transformers "
                        "refuses the config",
                        *rope));
  }
}

void family_unknown(const Subject& subject, Hits& hits) {
  if (!subject.config.family_guessed) {
    return;
  }
  const model::MlaConfig& config = subject.config;
  const std::string name = !config.architectures.empty() ? config.architectures.front()
                           : config.text_model_type      ? *config.text_model_type
                                                         : config.model_type.value_or("no name");
  hits.at_model_type(fmt::format("the name of this model ({}) is not known here; it is judged by "
                                 "its MLA keys and the DeepSeek rule",
                                 escape_control(name)));
}

/// Keys whose misspelling changes the attention without any error.
constexpr std::string_view k_scope_keys[] = {
    "q_lora_rank",     "kv_lora_rank",    "qk_nope_head_dim",        "qk_rope_head_dim",
    "v_head_dim",      "rope_scaling",    "rope_parameters",         "rope_theta",
    "rope_interleave", "compress_ratios", "max_position_embeddings", "num_attention_heads",
    "mla_use_nope",    "llama_4_scaling"};
/// Keys that resemble one of those and are right as they are.
constexpr std::string_view k_neighbours[] = {
    "num_key_value_heads",  "index_n_heads",       "index_head_dim", "head_dim",
    "qk_head_dim",          "compress_rates",      "o_lora_rank",    "num_hidden_layers",
    "compress_rope_theta",  "rope_type",           "rope_ratio",     "swa_rope_theta",
    "kv_head_dim",          "swa_v_head_dim",      "v_channels",     "num_attention_groups",
    "swa_qk_nope_head_dim", "swa_qk_rope_head_dim"};

/// As many wrong letters still make a misspelling.
constexpr std::size_t k_slips = 2;

template <std::size_t N>
bool is_listed(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

void misspelt_key(const Subject& subject, Hits& hits) {
  if (!subject.is_huggingface() || !subject.scope) {
    return;
  }
  for (std::optional<json::Value> member = subject.scope->first(); member;
       member = member->next()) {
    const std::string_view name = member->key();
    if (name.size() < 8 || is_listed(k_neighbours, name) || is_listed(k_scope_keys, name)) {
      continue;
    }
    for (const std::string_view known : k_scope_keys) {
      const std::size_t difference =
          known.size() > name.size() ? known.size() - name.size() : name.size() - known.size();
      if (difference <= k_slips && edit_distance(name, known, k_slips) <= k_slips
          && !subject.key(known)) {
        hits.at(*member, fmt::format("{} is not a key that anything reads; {} is, and it is "
                                     "missing",
                                     escape_control(name), known));
      }
    }
  }
}

void nested_and_flat_differ(const Subject& subject, Hits& hits) {
  const model::MlaConfig& config = subject.config;
  if (!subject.is_huggingface() || !config.document) {
    return;
  }
  for (const std::string_view nested_name : {"text_config", "language_config", "llm_config"}) {
    const std::optional<json::Value> nested = config.document->root().find(nested_name);
    if (!nested || !nested->is_object()) {
      continue;
    }
    for (const std::string_view name : {"kv_lora_rank", "q_lora_rank", "qk_nope_head_dim",
                                        "qk_rope_head_dim", "v_head_dim", "num_attention_heads"}) {
      const std::optional<json::Value> outer = config.document->root().find(name);
      const std::optional<json::Value> inner = nested->find(name);
      if (outer && inner && outer->is_number() && inner->is_number()
          && outer->as_number().value_or(0) != inner->as_number().value_or(0)) {
        hits.at(*inner, fmt::format("{} is {} in {} and {} at the top: which one counts depends on "
                                    "the reader",
                                    name, inner->excerpt(), nested_name, outer->excerpt()));
      }
    }
  }
}

void unusual_geometry(const Subject& subject, Hits& hits) {
  struct Geometry {
    std::int64_t nope, rope, v;
  };
  constexpr Geometry k_supported[] = {{128, 64, 128}, {192, 64, 256}, {64, 64, 128}};
  const model::Dims& dims = subject.config.dims;
  if (subject.config.attention != AttentionKind::mla) {
    return;
  }
  const bool supported =
      std::any_of(std::begin(k_supported), std::end(k_supported), [&](const Geometry& known) {
        return known.nope == *dims.qk_nope_head_dim && known.rope == *dims.qk_rope_head_dim
               && known.v == *dims.v_head_dim;
      });
  if (!supported) {
    hits.at(dims.qk_nope_head_dim.origin,
            fmt::format("heads of {} + {} for q and k and {} for v are none of the geometries that "
                        "vLLM's MLA prefill kernels are built for",
                        *dims.qk_nope_head_dim, *dims.qk_rope_head_dim, *dims.v_head_dim));
  }
}

constexpr std::array k_layout_rules = {
    Rule{"MLA114", "kv-heads-differ", Severity::note,
         "num_key_value_heads is not num_attention_heads",
         "MLA ignores the key, but an engine that sizes its cache or shards its heads as for "
         "grouped-query attention does not.",
         "\"num_key_value_heads\": 8 beside \"num_attention_heads\": 64",
         "set num_key_value_heads to num_attention_heads",
         "gpustack/gguf-parser-go#8; ai-dynamo/aiconfigurator#912 (cache sizes wrong by 5 to 6)",
         kv_heads_differ},
    Rule{"MLA115", "shared-kv-with-mla-keys", Severity::warning,
         "MLA keys beside those of a shared K = V head",
         "vLLM tests for compress_ratios first and then reads head_dim for everything; a reader "
         "that tests for kv_lora_rank first builds MLA and another scale.",
         "\"compress_ratios\": [...], \"kv_lora_rank\": 512", "remove the MLA keys",
         "vllm get_mla_dims@47411b52", shared_kv_with_mla_keys},
    Rule{"MLA116", "shared-kv-heads", Severity::warning,
         "more than one key/value head where K = V is shared",
         "DeepSeek V4 has one head that serves as K and as V for all query heads.",
         "\"num_key_value_heads\": 64 in a deepseek_v4 config", "set num_key_value_heads to 1",
         "transformers deepseek_v4@decba1d2", shared_kv_heads},
    Rule{"MLA117", "nope-family-rotates", Severity::warning,
         "mla_use_nope is false in a family that never rotates",
         "vLLM's kimi_linear asserts mla_use_nope; transformers' has no rotation at all. Rotating "
         "would change every logit with distance.",
         "\"model_type\": \"kimi_linear\", \"mla_use_nope\": false", "set mla_use_nope to true",
         "vllm kimi_linear.py@01d99586; transformers modular_kimi_linear.py@b4f5cc99",
         nope_family_rotates},
    Rule{"MLA118", "nope-family-has-rope-width", Severity::warning,
         "a rope slice in a family that has none",
         "glm5_next asserts qk_rope_head_dim 0; a positive width also changes the scale.",
         "\"model_type\": \"glm5_next\", \"qk_rope_head_dim\": 64", "set qk_rope_head_dim to 0",
         "transformers modular_glm5_next.py@95d5838b", nope_family_has_rope_width},
    Rule{"MLA119", "family-unknown", Severity::note, "the model's name is not known",
         "The family decides whether mscale applies at all, and how pairs are rotated. Without it "
         "the DeepSeek rule is only the best guess.",
         "\"model_type\": \"my_model\" with kv_lora_rank",
         "check the softmax scale against the model's own code",
         "`mla-scale explain --list` names the families", family_unknown},
    Rule{"MLA120", "misspelt-key", Severity::error, "a key looks misspelt",
         "Readers ignore keys that they do not know, and take a default for the one that was "
         "meant.",
         "\"qk_nope_head_dmi\": 128", "correct the spelling",
         "huggingface/transformers#32182 (validation relaxed to warnings)", misspelt_key},
    Rule{"MLA121", "nested-and-flat-differ", Severity::warning,
         "the text model's dims stand twice and differ",
         "A multimodal wrapper keeps the text model's config nested. Readers that look at the top "
         "first and readers that look inside first build different models.",
         "\"kv_lora_rank\": 512 at the top, 256 in text_config", "keep the nested value only",
         "vllm config.py@0036026e (text_config); transformers modular_kimi_k25.py@decba1d2",
         nested_and_flat_differ},
    Rule{"MLA122", "unusual-geometry", Severity::note, "widths that MLA kernels are not built for",
         "A shape outside the list falls back to another backend, with another padding of V and "
         "another convention of its log-sum-exp: look there first when results differ.",
         "qk_nope_head_dim 64, qk_rope_head_dim 32, v_head_dim 64 (MiniCPM3)",
         "expect a fallback backend in vLLM", "vllm prefill backends@045b1d0b, @0445ac35",
         unusual_geometry, "MLA104 MLA107 MLA109 MLA113"},
};

} // namespace

std::span<const Rule> layout_rules() {
  return k_layout_rules;
}

} // namespace mla_scale::audit
