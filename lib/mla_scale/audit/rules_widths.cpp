#include "tables.hpp"

#include <fmt/format.h>

#include <array>

namespace mla_scale::audit {
namespace {

using model::AttentionKind;
using model::Sourced;

bool has_widths(const Subject& subject) {
  return subject.config.attention != AttentionKind::shared_kv;
}

/// Widths that the config has under its own keys, not computed.
bool is_text_config(const Subject& subject) {
  return has_widths(subject) && subject.config.format != model::Format::gguf;
}

void head_dim_is_latent(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (is_text_config(subject) && dims.head_dim.was_read() && dims.latent_dim
      && *dims.head_dim == *dims.latent_dim) {
    hits.at(dims.head_dim.origin,
            fmt::format("head_dim {} is the width of the latent cache row (kv_lora_rank + "
                        "qk_rope_head_dim), while q and k are {} wide",
                        *dims.head_dim, *dims.qk_head_dim));
  }
}

void head_dim_misleads(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (is_text_config(subject) && dims.head_dim.was_read() && *dims.head_dim != *dims.qk_head_dim
      && *dims.head_dim != dims.latent_dim.value_or(0)) {
    hits.at(dims.head_dim.origin,
            fmt::format("head_dim {} is not the width of q and k, which is {}", *dims.head_dim,
                        *dims.qk_head_dim));
  }
}

void qk_head_dim_differs(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (!is_text_config(subject) || !dims.qk_head_dim_key) {
    return;
  }
  const std::int64_t sum = *dims.qk_nope_head_dim + *dims.qk_rope_head_dim;
  if (*dims.qk_head_dim_key != sum) {
    hits.at(dims.qk_head_dim_key.origin,
            fmt::format("qk_head_dim is {}, but qk_nope_head_dim {} + qk_rope_head_dim {} is {}",
                        *dims.qk_head_dim_key, *dims.qk_nope_head_dim, *dims.qk_rope_head_dim,
                        sum));
  }
}

void rope_width_odd(const Subject& subject, Hits& hits) {
  const Sourced<std::int64_t>& rope = subject.config.dims.qk_rope_head_dim;
  if (rope && *rope % 2 != 0) {
    hits.at(rope.origin, fmt::format("qk_rope_head_dim {} is odd, and RoPE rotates pairs", *rope));
  }
}

void v_head_dim_null(const Subject& subject, Hits& hits) {
  const std::optional<json::Value> value = subject.key("v_head_dim");
  if (subject.is_huggingface() && has_widths(subject) && value && value->is_null()) {
    hits.at(*value, fmt::format("v_head_dim is null; hidden_size / num_attention_heads = {} stands "
                                "in for it in transformers, nothing does in vLLM",
                                *subject.config.dims.v_head_dim));
  }
}

void width_defaulted(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  struct Width {
    std::string_view key;
    const Sourced<std::int64_t>& field;
  };
  for (const Width& width :
       {Width{"kv_lora_rank", dims.kv_lora_rank}, Width{"qk_nope_head_dim", dims.qk_nope_head_dim},
        Width{"qk_rope_head_dim", dims.qk_rope_head_dim}, Width{"v_head_dim", dims.v_head_dim}}) {
    if (subject.is_huggingface() && has_widths(subject)
        && width.field.origin.kind == model::Origin::Kind::defaulted) {
      hits.at_missing_key(width.key,
                          fmt::format("{} is missing; {} stands in for it ({})", width.key,
                                      *width.field, width.field.origin.reason));
    }
  }
}

void rope_width_is_nope_width(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (subject.is_huggingface() && dims.qk_rope_head_dim.was_read()
      && dims.qk_nope_head_dim.was_read() && *dims.qk_rope_head_dim == *dims.qk_nope_head_dim
      && *dims.qk_rope_head_dim >= 128) {
    hits.at(dims.qk_rope_head_dim.origin,
            fmt::format("qk_rope_head_dim and qk_nope_head_dim are both {}; no published model "
                        "rotates so wide a slice, and transformers 5.4 and later can write one "
                        "over the other",
                        *dims.qk_rope_head_dim));
  }
}

void rank_includes_rope(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (!has_widths(subject) || !dims.kv_lora_rank.was_read()) {
    return;
  }
  const std::int64_t rank = *dims.kv_lora_rank;
  const std::int64_t rest = rank - *dims.qk_rope_head_dim;
  const auto power_of_two = [](std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; };
  if (*dims.qk_rope_head_dim > 0 && rest >= 64 && power_of_two(rest) && !power_of_two(rank)) {
    hits.at(dims.kv_lora_rank.origin,
            fmt::format("kv_lora_rank {} looks like {} + qk_rope_head_dim {}: the width of the "
                        "cache row, not of the latent",
                        rank, rest, *dims.qk_rope_head_dim));
  }
}

void nope_includes_rope(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  const model::ClassDefaults& usual = subject.config.family->defaults;
  if (is_text_config(subject) && dims.qk_nope_head_dim.was_read() && usual.qk_rope_head_dim > 0
      && *dims.qk_rope_head_dim == usual.qk_rope_head_dim
      && *dims.qk_nope_head_dim == usual.qk_nope_head_dim + usual.qk_rope_head_dim) {
    hits.at(dims.qk_nope_head_dim.origin,
            fmt::format("qk_nope_head_dim {} is what {} has for nope and rope together ({} + {})",
                        *dims.qk_nope_head_dim, subject.config.family->id, usual.qk_nope_head_dim,
                        usual.qk_rope_head_dim));
  }
}

void query_rank_too_wide(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (dims.q_lora_rank && dims.hidden_size && *dims.q_lora_rank > *dims.hidden_size) {
    hits.at(dims.q_lora_rank.origin,
            fmt::format("q_lora_rank {} is wider than hidden_size {}, so it compresses nothing",
                        *dims.q_lora_rank, *dims.hidden_size));
  }
}

void query_rank_zero(const Subject& subject, Hits& hits) {
  const std::optional<json::Value> value = subject.key("q_lora_rank");
  if (subject.is_huggingface() && value && value->as_integer().value_or(1) == 0) {
    hits.at(*value, "q_lora_rank is 0, DeepSeek's inference spelling of \"none\"; transformers "
                    "tests for null and would build a projection of width 0");
  }
}

void query_rank_missing(const Subject& subject, Hits& hits) {
  const Sourced<std::int64_t>& rank = subject.config.dims.q_lora_rank;
  if (subject.is_huggingface() && rank.origin.kind == model::Origin::Kind::defaulted && rank) {
    hits.at_missing_key("q_lora_rank",
                        fmt::format("q_lora_rank is missing; transformers takes {} for it, vLLM "
                                    "takes \"none\" where its config class has no default",
                                    *rank));
  }
}

void value_wider_than_key(const Subject& subject, Hits& hits) {
  const model::Dims& dims = subject.config.dims;
  if (has_widths(subject) && *dims.v_head_dim > *dims.qk_head_dim) {
    hits.at(dims.v_head_dim.origin,
            fmt::format("v_head_dim {} is wider than q and k ({}); engines pad V up to that width",
                        *dims.v_head_dim, *dims.qk_head_dim));
  }
}

constexpr std::array k_widths_rules = {
    Rule{"MLA101", "head-dim-is-latent", Severity::warning,
         "head_dim is the width of the cache row",
         "An engine that takes head_dim^-1/2 for the softmax scale then scales by latent_dim^-1/2. "
         "For DeepSeek V3 that is 0.0417 instead of 0.1352: the vLLM regression of #32623, Ollama "
         "0.15.0 and the defaults of FlashMLA and aiter.",
         "\"head_dim\": 576 beside kv_lora_rank 512 and qk_rope_head_dim 64",
         "remove head_dim, or set it to qk_nope_head_dim + qk_rope_head_dim",
         "vllm-project/vllm#32623, #41569; ollama/ollama#13893; FlashMLA "
         "flash_mla_interface.py@9241ae3e",
         head_dim_is_latent},
    Rule{"MLA102", "head-dim-misleads", Severity::note, "head_dim is not the width of q and k",
         "In MLA configs head_dim means something else in each converter: the rotated slice (64), "
         "hidden_size / num_attention_heads (72), or nothing. Only qk_nope_head_dim + "
         "qk_rope_head_dim decides the scale.",
         "\"head_dim\": 64 in DeepSeek-V2-Lite as transformers 5 saves it",
         "do not derive the softmax scale from head_dim",
         "transformers glm4_moe_lite@decba1d2 maps head_dim to qk_rope_head_dim; xLLM "
         "npu_deepseek_v2_decoder_layer_impl.cpp@87e8d6ed falls back to head_dim^-1/2",
         head_dim_misleads},
    Rule{"MLA103", "qk-head-dim-differs", Severity::error,
         "qk_head_dim is not qk_nope_head_dim + qk_rope_head_dim",
         "Some classes read qk_head_dim for the scale (transformers longcat_flash), all others add "
         "the two slices, and the weights can have only one width.",
         "\"qk_head_dim\": 128, \"qk_nope_head_dim\": 128, \"qk_rope_head_dim\": 64",
         "set qk_head_dim to the sum, or remove it", "transformers longcat_flash@decba1d2",
         qk_head_dim_differs},
    Rule{"MLA104", "rope-width-odd", Severity::error, "qk_rope_head_dim is odd",
         "RoPE rotates pairs. An odd width passes the checks of transformers and fails at run "
         "time, or leaves a lane unrotated.",
         "\"qk_rope_head_dim\": 63", "make qk_rope_head_dim even", "huggingface/transformers#48648",
         rope_width_odd},
    Rule{"MLA105", "v-head-dim-null", Severity::note, "v_head_dim is null",
         "transformers' MiniCPM3 class puts hidden_size / num_attention_heads there; other readers "
         "find None and fail.",
         "\"v_head_dim\": null", "write the number",
         "transformers minicpm3@decba1d2; vllm get_mla_dims@47411b52", v_head_dim_null},
    Rule{"MLA106", "width-defaulted", Severity::note,
         "a width is missing and a class default stands in",
         "The default belongs to one class of one version. Another engine may have another default "
         "or none (AttributeError in vLLM's get_mla_dims).",
         "no v_head_dim in MiniCPM3-4B: 64 comes from the class", "write the width into the config",
         "class defaults of transformers 5.17.0 (executed); vllm mla_attention.py@47411b52",
         width_defaulted},
    Rule{"MLA107", "rope-width-is-nope-width", Severity::warning,
         "qk_rope_head_dim equals a wide qk_nope_head_dim",
         "transformers 5.4 and later can map one name onto the other through attribute_map and "
         "save the wrong one; vLLM re-reads the raw file to undo it. The scale then uses a width "
         "that the weights do not have.",
         "\"qk_nope_head_dim\": 192, \"qk_rope_head_dim\": 192 for GLM-5",
         "restore qk_rope_head_dim from the original config",
         "vllm model_arch_config_convertor.py@00bb6f59 _get_qk_rope_head_dim",
         rope_width_is_nope_width},
    Rule{"MLA108", "rank-includes-rope", Severity::warning,
         "kv_lora_rank looks like the width of the cache row",
         "The latent is normalised and projected without the rotated slice; counting the slice "
         "twice makes the cache row 640 wide and shifts every split.",
         "\"kv_lora_rank\": 576 beside qk_rope_head_dim 64",
         "set kv_lora_rank to the width of the latent alone",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788: wkv_a gives kv_lora_rank + "
         "qk_rope_head_dim",
         rank_includes_rope},
    Rule{"MLA109", "nope-includes-rope", Severity::warning,
         "qk_nope_head_dim looks like the whole width of q and k",
         "The scale becomes (192 + 64)^-1/2 = 0.0625 instead of 192^-1/2 = 0.0722.",
         "\"qk_nope_head_dim\": 192, \"qk_rope_head_dim\": 64 under deepseek_v3",
         "set qk_nope_head_dim to the unrotated slice alone",
         "class defaults of the family (transformers 5.17.0, executed)", nope_includes_rope},
    Rule{"MLA110", "query-rank-too-wide", Severity::warning, "q_lora_rank exceeds hidden_size",
         "A low-rank projection wider than its input is a slip in a conversion script more often "
         "than a design.",
         "\"q_lora_rank\": 7168, \"hidden_size\": 1536", "check that the two are not swapped",
         "every published MLA model has q_lora_rank below hidden_size", query_rank_too_wide},
    Rule{"MLA111", "query-rank-zero", Severity::warning, "q_lora_rank is 0 instead of null",
         "DeepSeek's own inference code writes 0 for \"no query compression\". transformers tests "
         "for None, so 0 builds q_a_proj with no rows.",
         "\"q_lora_rank\": 0 in a config.json", "write null",
         "deepseek-ai/DeepSeek-V3 inference/configs/config_16B.json@9b4e9788; transformers "
         "deepseek_v2@decba1d2",
         query_rank_zero},
    Rule{"MLA112", "query-rank-missing", Severity::warning, "q_lora_rank is missing",
         "Whether q has a low-rank projection decides which weights are looked for (q_proj or "
         "q_a_proj and q_b_proj). A missing key means a class default in transformers and None "
         "in engines that read with a fallback.",
         "no q_lora_rank in a deepseek_v2 config", "write the rank, or null for none",
         "transformers 5.17.0 class defaults (executed); vllm get_mla_dims@47411b52",
         query_rank_missing},
    Rule{"MLA113", "value-wider-than-key", Severity::warning,
         "v_head_dim exceeds the width of q, k",
         "Flash attention paths pad V with zeros up to qk_head_dim and slice the output. They have "
         "nothing to do with a V that is wider.",
         "\"v_head_dim\": 256 with q and k 192 wide", "check v_head_dim against kv_b_proj",
         "vllm prefill/flash_attn.py@0307fc6c", value_wider_than_key},
};

} // namespace

std::span<const Rule> width_rules() {
  return k_widths_rules;
}

} // namespace mla_scale::audit
