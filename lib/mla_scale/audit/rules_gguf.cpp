#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace mla_scale::audit {
namespace {

bool is_gguf_mla(const Subject& subject) {
  return subject.config.format == model::Format::gguf
         && subject.config.attention != model::AttentionKind::shared_kv;
}

/// Architectures whose graph asks for yarn_log_multiplier.
bool reads_log_multiplier(const Subject& subject) {
  const std::string& name = subject.config.gguf.architecture;
  return is_gguf_mla(subject)
         && (name == "deepseek2" || name == "deepseek32" || name == "mistral4");
}

void key_length_mla_missing(const Subject& subject, Hits& hits) {
  const model::GgufKeys& gguf = subject.config.gguf;
  const bool with_mla_keys =
      subject.config.gguf.architecture != "minicpm3" && subject.config.gguf.architecture != "plm";
  if (is_gguf_mla(subject) && with_mla_keys && !gguf.key_length_mla) {
    hits.at_missing_key(
        "attention.key_length_mla",
        fmt::format("attention.key_length_mla is missing: the legacy layout from before "
                    "2025-04-15, with key_length {} for the width of q and k; llama.cpp then keeps "
                    "expanded keys and values",
                    gguf.key_length.value_or(0)));
  }
}

void key_length_not_latent(const Subject& subject, Hits& hits) {
  const model::GgufKeys& gguf = subject.config.gguf;
  const model::Dims& dims = subject.config.dims;
  if (is_gguf_mla(subject) && gguf.key_length_mla && gguf.key_length && dims.latent_dim
      && *gguf.key_length != *dims.latent_dim) {
    hits.at(gguf.key_length.origin,
            fmt::format("attention.key_length is {}, but kv_lora_rank + rope.dimension_count is {}",
                        *gguf.key_length, *dims.latent_dim));
  }
}

void value_length_mla_missing(const Subject& subject, Hits& hits) {
  const model::GgufKeys& gguf = subject.config.gguf;
  if (is_gguf_mla(subject) && gguf.key_length_mla && !gguf.value_length_mla) {
    hits.at_missing_key("attention.value_length_mla",
                        "attention.key_length_mla is there without value_length_mla; llama.cpp "
                        "wants both");
  }
}

void scaling_type_missing(const Subject& subject, Hits& hits) {
  const model::Rope& rope = subject.config.rope;
  if (is_gguf_mla(subject) && !subject.config.gguf.scaling_type && rope.factor
      && *rope.factor != 1) {
    hits.at(rope.factor.origin,
            fmt::format("rope.scaling.factor {} without rope.scaling.type: llama.cpp takes "
                        "\"linear\"",
                        format_number(*rope.factor)));
  }
}

void log_multiplier_missing(const Subject& subject, Hits& hits) {
  const model::Rope& rope = subject.config.rope;
  if (reads_log_multiplier(subject) && rope.is_yarn() && !subject.config.gguf.yarn_log_multiplier) {
    hits.at_missing_key("rope.scaling.yarn_log_multiplier",
                        "YaRN without yarn_log_multiplier: llama.cpp since 2025-12-14 still "
                        "multiplies the scale by (1 + 0.1 ln factor)^2, ik_llama.cpp leaves it "
                        "plain");
  }
}

void log_multiplier_raw(const Subject& subject, Hits& hits) {
  const model::GgufKeys& gguf = subject.config.gguf;
  if (reads_log_multiplier(subject) && gguf.yarn_log_multiplier
      && std::abs(*gguf.yarn_log_multiplier) >= 0.3) {
    hits.at(gguf.yarn_log_multiplier.origin,
            fmt::format("yarn_log_multiplier {} looks like mscale_all_dim itself; for {} llama.cpp "
                        "divides it by 0.1, which gives {}",
                        format_number(*gguf.yarn_log_multiplier), gguf.architecture,
                        format_number(*subject.config.rope.mscale_all_dim)));
  }
}

void gguf_attn_factor(const Subject& subject, Hits& hits) {
  const model::GgufKeys& gguf = subject.config.gguf;
  if (is_gguf_mla(subject) && gguf.attn_factor && *gguf.attn_factor != 1) {
    hits.at(gguf.attn_factor.origin,
            fmt::format("rope.scaling.attn_factor {} multiplies the scale of llama.cpp by its "
                        "square and cos and sin by itself",
                        format_number(*gguf.attn_factor)));
  }
}

void linear_with_factor(const Subject& subject, Hits& hits) {
  const model::Rope& rope = subject.config.rope;
  if (is_gguf_mla(subject) && subject.config.gguf.scaling_type
      && *subject.config.gguf.scaling_type == "linear" && rope.factor && *rope.factor != 1) {
    hits.at(subject.config.gguf.scaling_type.origin,
            fmt::format("rope.scaling.type linear with factor {}: llama.cpp's deepseek2 graph "
                        "multiplies the scale by (1 + 0.1 ln factor)^2 without YaRN too",
                        format_number(*rope.factor)));
  }
}

constexpr std::array k_gguf_rules = {
    Rule{"MLA130", "gguf-key-length-mla-missing", Severity::warning,
         "a GGUF of the legacy layout, without key_length_mla",
         "key_length means the width before absorption in this layout and the width of the latent "
         "in the new one. Code that reads key_length alone is right in one of them only "
         "(Ollama's Go engine: m^2 / 24).",
         "deepseek2.attention.key_length 192, no key_length_mla", "convert the model again",
         "ggml-org/llama.cpp#12801; ollama deepseek2/model.go", key_length_mla_missing},
    Rule{"MLA131", "gguf-key-length-not-latent", Severity::error,
         "key_length is not kv_lora_rank + rope.dimension_count",
         "With key_length_mla present, key_length is the width of the cache row.",
         "key_length 192 beside key_length_mla 192 and kv_lora_rank 512", "convert the model again",
         "llama.cpp conversion/deepseek.py@663054a82 L302", key_length_not_latent},
    Rule{"MLA132", "gguf-value-length-mla-missing", Severity::error,
         "key_length_mla without value_length_mla", "llama.cpp refuses one without the other.",
         "key_length_mla 192, no value_length_mla", "convert the model again",
         "llama.cpp llama-hparams.cpp@663054a82 L254", value_length_mla_missing},
    Rule{"MLA260", "gguf-scaling-type-missing", Severity::warning,
         "rope.scaling.factor without rope.scaling.type",
         "The default is \"linear\", not \"yarn\". Converters write no type for rope types that "
         "they do not know, such as deepseek_yarn.",
         "rope.scaling.factor 40, no rope.scaling.type", "set rope.scaling.type to yarn",
         "llama.cpp llama-model.cpp@663054a82 L1158; conversion/base.py", scaling_type_missing},
    Rule{"MLA261", "gguf-log-multiplier-missing", Severity::warning,
         "YaRN without rope.scaling.yarn_log_multiplier",
         "Three eras of llama.cpp give three answers: refuse to load, plain, or (1 + 0.1 ln f)^2.",
         "rope.scaling.type yarn, no yarn_log_multiplier",
         "write yarn_log_multiplier = 0.1 * mscale_all_dim",
         "llama.cpp#7519, #14896, #17945, #18006; ik_llama.cpp#738", log_multiplier_missing},
    Rule{"MLA262", "gguf-log-multiplier-raw", Severity::error,
         "yarn_log_multiplier holds mscale_all_dim, not a tenth of it",
         "deepseek2, deepseek32 and mistral4 store 0.1 * mscale_all_dim; mistral3 stores it raw.",
         "deepseek2.rope.scaling.yarn_log_multiplier 1.0", "store 0.1 * mscale_all_dim",
         "llama.cpp deepseek2.cpp@663054a82 L34; TAG_DEEPSEEK2_YARN_LOG_MUL_FIX",
         log_multiplier_raw},
    Rule{"MLA263", "gguf-attn-factor", Severity::warning, "rope.scaling.attn_factor is not 1",
         "It reaches the softmax scale of deepseek2 squared.", "rope.scaling.attn_factor 1.2",
         "remove the key unless that is meant", "llama.cpp llama-context.cpp@663054a82 L190-231",
         gguf_attn_factor},
    Rule{"MLA264", "gguf-linear-scaling", Severity::warning, "linear scaling in a deepseek2 graph",
         "The factor (1 + 0.1 ln f) is taken out for YaRN only, and multiplied in for every type.",
         "rope.scaling.type linear, factor 4", "use yarn, or remove the scaling",
         "llama.cpp deepseek2.cpp@663054a82 L168-172 (inferred)", linear_with_factor},
};

} // namespace

std::span<const Rule> gguf_rules() {
  return k_gguf_rules;
}

} // namespace mla_scale::audit
