#include <mla_scale/audit/record.hpp>
#include <mla_scale/core/file.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/model/gguf_file.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <fmt/format.h>

#include <iterator>

namespace mla_scale::audit {
namespace {

constexpr std::size_t k_longest_list = 160;
constexpr std::size_t k_largest_config = std::size_t{64} << 20;
constexpr int k_deepest = 16;

template <typename T>
void add(Record& record, std::string name, const model::Sourced<T>& field) {
  record.push_back({std::move(name), field ? Scalar(*field) : Scalar(), field.origin.position});
}

void add_dims(Record& record, const model::Dims& dims) {
  add(record, "dims.num_attention_heads", dims.num_attention_heads);
  add(record, "dims.q_lora_rank", dims.q_lora_rank);
  add(record, "dims.kv_lora_rank", dims.kv_lora_rank);
  add(record, "dims.qk_nope_head_dim", dims.qk_nope_head_dim);
  add(record, "dims.qk_rope_head_dim", dims.qk_rope_head_dim);
  add(record, "dims.v_head_dim", dims.v_head_dim);
  add(record, "dims.qk_head_dim", dims.qk_head_dim);
  add(record, "dims.latent_dim", dims.latent_dim);
}

void add_rope(Record& record, const model::Rope& rope) {
  add(record, "rope.type", rope.type);
  record.push_back({"rope.rotated", rope.rotated});
  add(record, "rope.interleaved", rope.interleaved);
  add(record, "rope.theta", rope.theta);
  add(record, "rope.factor", rope.factor);
  add(record, "rope.original_max_position_embeddings", rope.original_max_position_embeddings);
  add(record, "rope.beta_fast", rope.beta_fast);
  add(record, "rope.beta_slow", rope.beta_slow);
  add(record, "rope.mscale", rope.mscale);
  add(record, "rope.mscale_all_dim", rope.mscale_all_dim);
  add(record, "rope.attention_factor", rope.attention_factor);
}

std::string shown(const std::optional<double>& number) {
  return number ? format_number(*number) : "unknown";
}

/// The engines that follow the law in one field, each other one in a field of its own.
void add_engines(Record& record, const model::MlaConfig& config, const scale::SoftmaxScale* law) {
  std::string agreeing;
  Record others;
  for (const engines::EngineValue& value : engines::evaluate_all(config, law)) {
    const std::string id(value.rule->id);
    if (value.agrees.value_or(false)) {
      agreeing += (agreeing.empty() ? "" : " ") + id;
    } else if (!value.error.empty()) {
      others.push_back({"engines." + id, value.error});
    } else if (value.agrees) {
      others.push_back(
          {"engines." + id, fmt::format("prefill {} decode {} cos_sin {}", shown(value.prefill),
                                        shown(value.decode), shown(value.cos_sin_factor))});
    }
  }
  record.push_back({"engines.agree", agreeing});
  std::move(others.begin(), others.end(), std::back_inserter(record));
}

void add_scale(Record& record, const model::MlaConfig& config) {
  const Result<scale::SoftmaxScale> derived = scale::derive_softmax_scale(config);
  add_engines(record, config, derived ? &*derived : nullptr);
  if (!derived) {
    record.push_back({"softmax_scale.error", derived.error().message});
    return;
  }
  record.push_back({"softmax_scale.prefill", derived->prefill});
  record.push_back({"softmax_scale.decode", derived->decode});
  record.push_back({"softmax_scale.disputed", derived->disputed});
  record.push_back({"rope.cos_sin_factor",
                    derived->cos_sin_factor ? Scalar(*derived->cos_sin_factor) : Scalar()});
}

Scalar scalar_of(const json::Value& value) {
  switch (value.kind()) {
  case json::Kind::boolean:
    return value.as_boolean().value();
  case json::Kind::integer:
    if (const Result<std::int64_t> number = value.as_integer()) {
      return *number;
    }
    return value.excerpt();
  case json::Kind::number:
    if (const Result<double> number = value.as_number()) {
      return *number;
    }
    return value.excerpt();
  case json::Kind::string:
    return std::string(value.as_string().value());
  default:
    return {};
  }
}

/// FNV-1a, 64 bits: no protection against malice, only a short name for a long list.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  return hash;
}

std::string shortened(const std::string& text, std::size_t elements) {
  return text.size() <= k_longest_list
             ? text
             : fmt::format("{} elements, fnv1a {:016x}", elements, hash_of(text));
}

/// The elements of an array joined by commas; nested ones in brackets.
std::string joined(const json::Value& array, int depth) {
  std::string text;
  for (std::optional<json::Value> element = array.first(); element; element = element->next()) {
    text += text.empty() ? "" : ",";
    if (element->is_array() || element->is_object()) {
      text += depth < k_deepest ? "[" + joined(*element, depth + 1) + "]" : "...";
      continue;
    }
    text += element->key();
    text += element->key().empty() ? "" : "=";
    text += to_string(scalar_of(*element));
  }
  return text;
}

void add_keys(Record& record, const json::Value& object, const std::string& pointer, int depth) {
  for (std::optional<json::Value> member = object.first(); member; member = member->next()) {
    const std::string name = pointer + "/" + json::escape_pointer(member->key());
    if (member->is_object() && depth < k_deepest) {
      add_keys(record, *member, name, depth + 1);
    } else if (member->is_array() || member->is_object()) {
      record.push_back(
          {name, shortened(joined(*member, depth), member->size()), member->position()});
    } else {
      record.push_back({name, scalar_of(*member), member->position()});
    }
  }
}

void add_gguf_keys(Record& record, const std::string& source) {
  const Result<model::GgufFile> file = model::GgufFile::read(source);
  if (!file) {
    return;
  }
  for (const auto& [key, value] : file->values()) {
    record.push_back({"/" + key, std::visit([](const auto& what) { return Scalar(what); }, value)});
  }
}

void add_file_keys(Record& record, const model::LoadedModel& loaded) {
  if (loaded.source == "-") {
    return;
  }
  const Result<std::string> head = read_file_head(loaded.source, 4);
  if (head && *head == "GGUF") {
    add_gguf_keys(record, loaded.source);
    return;
  }
  Result<std::string> text = read_file(loaded.source, k_largest_config);
  if (!text) {
    return;
  }
  json::Limits limits;
  limits.allow_non_finite = true;
  if (const Result<json::Document> document =
          json::Document::parse(*std::move(text), loaded.source, limits)) {
    add_keys(record, document->root(), "", 0);
  }
}

} // namespace

std::string to_string(const Scalar& scalar) {
  struct Print {
    std::string operator()(std::monostate) const { return "null"; }
    std::string operator()(bool truth) const { return truth ? "true" : "false"; }
    std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
    std::string operator()(double number) const { return format_number(number); }
    std::string operator()(const std::string& text) const { return text; }
  };
  return std::visit(Print{}, scalar);
}

void write_scalar(json::Writer& writer, const Scalar& scalar) {
  struct Write {
    json::Writer& writer;
    void operator()(std::monostate) const { writer.null(); }
    void operator()(bool truth) const { writer.value(truth); }
    void operator()(std::int64_t number) const { writer.value(number); }
    void operator()(double number) const { writer.value(number); }
    void operator()(const std::string& text) const { writer.value(text); }
  };
  std::visit(Write{writer}, scalar);
}

bool same(const Scalar& left, const Scalar& right) {
  const auto number = [](const Scalar& scalar) -> std::optional<double> {
    if (const auto* integer = std::get_if<std::int64_t>(&scalar)) {
      return static_cast<double>(*integer);
    }
    const auto* real = std::get_if<double>(&scalar);
    return real != nullptr ? std::optional(*real) : std::nullopt;
  };
  const std::optional<double> first = number(left);
  const std::optional<double> second = number(right);
  return first && second ? *first == *second : left == right;
}

Record make_record(const model::LoadedModel& loaded) {
  Record record;
  if (const model::MlaConfig* config = loaded.config()) {
    record.push_back({"attention", std::string(model::to_string(config->attention))});
    record.push_back({"family", std::string(config->family->id)});
    add_dims(record, config->dims);
    add_rope(record, config->rope);
    add_scale(record, *config);
    if (config->document) {
      add_keys(record, config->document->root(), "", 0);
      return record;
    }
  } else {
    record.push_back({"attention", std::string(loaded.error() != nullptr ? "unreadable" : "none")});
  }
  add_file_keys(record, loaded);
  return record;
}

} // namespace mla_scale::audit
