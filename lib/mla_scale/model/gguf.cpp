#include "gguf_file.hpp"
#include "readers.hpp"

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::model {
namespace {

/// Typed access to one architecture's keys; remembers the first thing that was wrong.
class Keys {
public:
  Keys(const GgufFile& file, std::string prefix, std::string source)
      : m_file(file), m_prefix(std::move(prefix)), m_source(std::move(source)) {}

  Sourced<std::int64_t> size(const std::string& suffix, std::int64_t least = 0) {
    const std::string key = m_prefix + suffix;
    const GgufFile::Value* value = m_file.find(key);
    if (value == nullptr) {
      return {};
    }
    const auto* number = std::get_if<std::int64_t>(value);
    if (number == nullptr || *number < least || *number > 2147483647) {
      fail(key, number == nullptr ? std::string("must be an integer")
                : *number < least ? fmt::format("must be at least {}, but is {}", least, *number)
                                  : fmt::format("is {}, which no model has", *number));
      return {};
    }
    return {*number, origin(key)};
  }

  Sourced<double> number(const std::string& suffix) {
    const std::string key = m_prefix + suffix;
    const GgufFile::Value* value = m_file.find(key);
    if (value == nullptr) {
      return {};
    }
    if (const auto* integer = std::get_if<std::int64_t>(value)) {
      return {static_cast<double>(*integer), origin(key)};
    }
    const auto* real = std::get_if<double>(value);
    if (real == nullptr || !std::isfinite(*real)) {
      fail(key, "must be a finite number");
      return {};
    }
    return {*real, origin(key)};
  }

  Sourced<std::string> text(const std::string& suffix) {
    const std::string key = m_prefix + suffix;
    const GgufFile::Value* value = m_file.find(key);
    if (value == nullptr) {
      return {};
    }
    const auto* string = std::get_if<std::string>(value);
    if (string == nullptr) {
      fail(key, "must be a string");
      return {};
    }
    return {*string, origin(key)};
  }

  void fail(const std::string& key, const std::string& what) {
    if (!m_error) {
      m_error = Error{ErrorKind::schema, fmt::format("{} {}", key, what), m_source, key, {}};
    }
  }

  [[nodiscard]] const std::optional<Error>& error() const { return m_error; }
  [[nodiscard]] const std::string& prefix() const { return m_prefix; }

private:
  [[nodiscard]] Origin origin(const std::string& key) const {
    return Origin{Origin::Kind::read, m_source, key, {}, {}};
  }

  const GgufFile& m_file;
  std::string m_prefix;
  std::string m_source;
  std::optional<Error> m_error;
};

/// The one architecture whose converter stores mscale_all_dim as it is; the others store 0.1 times
/// it (ggml-org/llama.cpp conversion/deepseek.py, TAG_DEEPSEEK2_YARN_LOG_MUL_FIX, and mistral.py).
constexpr std::string_view k_raw_log_multiplier = "mistral3";

double mscale_all_dim_of(const std::string& architecture, double yarn_log_multiplier) {
  if (architecture == k_raw_log_multiplier) {
    return yarn_log_multiplier;
  }
  // Through decimal digits, so that 0.0707 / 0.1 is 0.707 and not its neighbour.
  return std::strtod(fmt::format("{:.9g}", yarn_log_multiplier / 0.1).c_str(), nullptr);
}

/// The three layouts: with *_mla keys; legacy, where key_length is the width before absorption; and
/// a latent-width key_length without *_mla keys, from which the width cannot be told.
std::optional<Error> read_widths(Keys& keys, MlaConfig& config) {
  GgufKeys& gguf = config.gguf;
  gguf.key_length = keys.size("attention.key_length", 1);
  gguf.value_length = keys.size("attention.value_length", 1);
  gguf.key_length_mla = keys.size("attention.key_length_mla", 1);
  gguf.value_length_mla = keys.size("attention.value_length_mla", 1);
  gguf.dimension_count = keys.size("rope.dimension_count");
  Dims& dims = config.dims;
  dims.qk_head_dim = gguf.key_length_mla ? gguf.key_length_mla : gguf.key_length;
  dims.v_head_dim = gguf.value_length_mla ? gguf.value_length_mla : gguf.value_length;
  dims.qk_rope_head_dim = gguf.dimension_count;
  if (keys.error()) {
    return keys.error();
  }
  const auto missing = [&](const std::string& suffix) {
    return Error{ErrorKind::schema,
                 fmt::format("{}{} is missing", keys.prefix(), suffix),
                 config.source,
                 keys.prefix() + suffix,
                 {}};
  };
  if (!dims.qk_rope_head_dim) {
    return missing("rope.dimension_count");
  }
  if (!dims.qk_head_dim) {
    return missing("attention.key_length_mla");
  }
  const std::int64_t latent = dims.kv_lora_rank.value_or(0) + *dims.qk_rope_head_dim;
  if (!gguf.key_length_mla && *dims.qk_head_dim == latent
      && dims.num_key_value_heads.value_or(0) == 1) {
    return Error{ErrorKind::schema,
                 fmt::format("{}attention.key_length is {}, the width of the latent, and "
                             "key_length_mla is missing: the "
                             "width of q and k is not in the file",
                             keys.prefix(), latent),
                 config.source,
                 keys.prefix() + "attention.key_length_mla",
                 {}};
  }
  if (gguf.key_length_mla && *dims.qk_head_dim == latent
      && dims.v_head_dim.value_or(0) == dims.kv_lora_rank.value_or(0)) {
    return Error{ErrorKind::schema,
                 fmt::format("{}attention.key_length_mla is {}, the width of the latent: the width "
                             "of q and k before "
                             "absorption belongs there",
                             keys.prefix(), latent),
                 config.source,
                 keys.prefix() + "attention.key_length_mla",
                 {}};
  }
  if (*dims.qk_head_dim <= *dims.qk_rope_head_dim) {
    return Error{ErrorKind::schema,
                 fmt::format("{} {} leaves no room beside rope.dimension_count {}",
                             dims.qk_head_dim.origin.pointer, *dims.qk_head_dim,
                             *dims.qk_rope_head_dim),
                 config.source,
                 dims.qk_head_dim.origin.pointer,
                 {}};
  }
  dims.qk_nope_head_dim =
      Sourced<std::int64_t>::derived(*dims.qk_head_dim - *dims.qk_rope_head_dim,
                                     dims.qk_head_dim.origin.pointer + " - rope.dimension_count");
  return std::nullopt;
}

void read_rope_keys(Keys& keys, MlaConfig& config) {
  Rope& rope = config.rope;
  GgufKeys& gguf = config.gguf;
  gguf.scaling_type = keys.text("rope.scaling.type");
  rope.factor = keys.number("rope.scaling.factor");
  if (!rope.factor) {
    rope.factor = keys.number("rope.scale_linear");
  }
  if (rope.factor && *rope.factor == 0) {
    rope.factor = {}; // llama.cpp reads 0 as 1
  }
  if (rope.factor && *rope.factor < 0) {
    keys.fail(rope.factor.origin.pointer, "must be above 0");
  }
  if (gguf.scaling_type) {
    const bool none = *gguf.scaling_type == "none";
    rope.type =
        none ? Sourced<std::string>("default", gguf.scaling_type.origin) : gguf.scaling_type;
  } else {
    rope.type = Sourced<std::string>::defaulted(
        rope.factor ? "linear" : "default",
        rope.factor ? "llama.cpp takes a missing rope.scaling.type for linear"
                    : "no rope.scaling keys");
  }
  if (!rope.factor && rope.is_yarn()) {
    rope.factor =
        Sourced<double>::defaulted(1, "llama.cpp reads a missing or zero rope.scaling.factor as 1");
  }
  rope.container = gguf.scaling_type || rope.factor ? "rope.scaling" : "";
  rope.container_pointer = rope.container.empty() ? "" : keys.prefix() + "rope.scaling";
  rope.theta = keys.number("rope.freq_base");
  rope.theta_outside = rope.theta;
  if (!rope.theta) {
    rope.theta = Sourced<double>::defaulted(10000, "llama.cpp's default");
  } else if (!(*rope.theta > 0)) {
    keys.fail(rope.theta.origin.pointer, "must be above 0");
  }
  rope.original_max_position_embeddings = keys.number("rope.scaling.original_context_length");
  rope.beta_fast = keys.number("rope.scaling.yarn_beta_fast");
  rope.beta_slow = keys.number("rope.scaling.yarn_beta_slow");
  gguf.attn_factor = keys.number("rope.scaling.attn_factor");
  gguf.yarn_log_multiplier = keys.number("rope.scaling.yarn_log_multiplier");
  if (gguf.yarn_log_multiplier) {
    rope.mscale_all_dim =
        Sourced<double>(mscale_all_dim_of(gguf.architecture, *gguf.yarn_log_multiplier),
                        gguf.yarn_log_multiplier.origin);
    rope.mscale_all_dim.origin.reason = gguf.architecture == k_raw_log_multiplier
                                            ? "yarn_log_multiplier"
                                            : "yarn_log_multiplier / 0.1";
  }
  const bool half_split = config.family->interleaved && !*config.family->interleaved;
  rope.interleaved = Sourced<bool>::defaulted(!half_split, "ggml rope type of the architecture");
  rope.rotated = config.attention != AttentionKind::mla_nope;
}

void read_counts(Keys& keys, MlaConfig& config) {
  Dims& dims = config.dims;
  dims.num_attention_heads = keys.size("attention.head_count", 1);
  dims.num_key_value_heads = keys.size("attention.head_count_kv");
  dims.hidden_size = keys.size("embedding_length");
  dims.num_hidden_layers = keys.size("block_count");
  dims.q_lora_rank = keys.size("attention.q_lora_rank");
  dims.max_position_embeddings = keys.size("context_length");
  config.extras.llama_4_beta = keys.number("attention.temperature_scale");
  config.extras.llama_4_original = keys.number("attention.temperature_length");
  config.extras.index_head_dim = keys.size("attention.indexer.key_length");
  config.extras.index_topk = keys.size("attention.indexer.top_k");
}

/// The prefix of the MLA keys, for headers cut out of logs that lost general.architecture.
Sourced<std::string> architecture_of_keys(const GgufFile& file) {
  constexpr std::string_view k_suffix = ".attention.kv_lora_rank";
  for (const auto& [key, value] : file.values()) {
    if (key.ends_with(k_suffix)) {
      return Sourced<std::string>::derived(key.substr(0, key.size() - k_suffix.size()),
                                           "general.architecture is missing; told from the key "
                                               + key);
    }
  }
  return {};
}

} // namespace

Outcome read_gguf(const ModelFile& file) {
  const Result<GgufFile> metadata = GgufFile::read(file.source);
  if (!metadata) {
    return metadata.error();
  }
  MlaConfig config;
  config.path = file.path;
  config.source = file.source;
  config.format = Format::gguf;
  Keys general(*metadata, "", file.source);
  Sourced<std::string> architecture = general.text("general.architecture");
  if (general.error()) {
    return *general.error();
  }
  if (!architecture) {
    architecture = architecture_of_keys(*metadata);
  }
  const Sourced<std::int64_t> split_number = general.size("split.no");
  if (!architecture) {
    const bool later_shard = split_number.value_or(0) > 0;
    return Error{ErrorKind::schema,
                 later_shard ? "is a later shard of a split GGUF: the metadata is in the first"
                             : "general.architecture is missing",
                 file.source,
                 "general.architecture",
                 {}};
  }
  config.gguf.architecture = *architecture;
  config.gguf.split_count = general.size("split.count").value_or(1);
  config.model_type = architecture;
  config.family = find_family_by_gguf_architecture(*architecture);
  Keys keys(*metadata, *architecture + ".", file.source);
  config.dims.kv_lora_rank = keys.size("attention.kv_lora_rank", 1);
  const bool shared =
      config.family != nullptr && config.family->attention == AttentionKind::shared_kv;
  if (keys.error()) {
    return *keys.error();
  }
  if (!config.dims.kv_lora_rank && !shared) {
    return NotMla{file.path,
                  file.source,
                  Format::gguf,
                  architecture,
                  {},
                  fmt::format("not MLA: the GGUF architecture {} has no attention.kv_lora_rank",
                              *architecture)};
  }
  if (config.family == nullptr) {
    config.family = &unknown_family();
    config.family_guessed = true;
  }
  config.attention = config.family->attention;
  read_counts(keys, config);
  if (shared) {
    config.dims.head_dim = keys.size("attention.key_length", 1);
    config.dims.qk_rope_head_dim = keys.size("rope.dimension_count");
  } else if (std::optional<Error> error = read_widths(keys, config)) {
    return *error;
  }
  read_rope_keys(keys, config);
  if (keys.error()) {
    return *keys.error();
  }
  if (std::optional<Error> error = complete_dims(config)) {
    return *error;
  }
  return config;
}

} // namespace mla_scale::model
