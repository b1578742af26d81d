#include "rope_reader.hpp"

#include <fmt/format.h>

namespace mla_scale::model {
namespace {

/// Layer kinds whose dictionary is taken from a nested one, in this order; any other comes last.
constexpr std::string_view k_layer_order[] = {"full_attention", "main", "deepseek_sparse_attention",
                                              "attention"};

bool is_nested(const json::Value& dictionary) {
  if (dictionary.size() == 0 || dictionary.find("type") || dictionary.find("rope_type")
      || dictionary.find("factor")) {
    return false;
  }
  for (auto member = dictionary.first(); member; member = member->next()) {
    if (member->is_object()) {
      return true;
    }
  }
  return false;
}

/// The member to use of a nested dictionary.
std::optional<json::Value> pick_layer(const json::Value& dictionary) {
  for (const std::string_view name : k_layer_order) {
    if (const auto member = dictionary.find(name); member && member->is_object()) {
      return member;
    }
  }
  for (auto member = dictionary.first(); member; member = member->next()) {
    if (member->is_object()) {
      return member;
    }
  }
  return std::nullopt;
}

bool same_scalar(const json::Value& left, const json::Value& right) {
  if (left.is_number() && right.is_number()) {
    return left.as_number().value() == right.as_number().value();
  }
  return left.kind() == right.kind() && left.excerpt(200) == right.excerpt(200);
}

/// Whether two dictionaries say different things under a key that both have; type and rope_type
/// count as one key.
bool dictionaries_differ(const json::Value& left, const json::Value& right) {
  for (auto member = left.first(); member; member = member->next()) {
    auto other = right.find(member->key());
    if (!other && (member->key() == "type" || member->key() == "rope_type")) {
      other = right.find(member->key() == "type" ? "rope_type" : "type");
    }
    if (other && !same_scalar(*member, *other)) {
      return true;
    }
  }
  return false;
}

void read_dictionary(ConfigReader& reader, Rope& rope) {
  rope.type_key = reader.text({"type"});
  rope.rope_type_key = reader.text({"rope_type"});
  rope.factor = reader.positive({"factor"});
  rope.original_max_position_embeddings = reader.positive({"original_max_position_embeddings"});
  // beta and alpha are Mistral's names, seen in converted configs too.
  rope.beta_fast = reader.number({"beta_fast", "beta"});
  rope.beta_slow = reader.number({"beta_slow", "alpha"});
  rope.mscale = reader.number({"mscale"});
  rope.mscale_all_dim = reader.number({"mscale_all_dim"});
  rope.attention_factor = reader.positive({"attention_factor"});
  rope.attn_factor = reader.number({"attn_factor"});
  rope.truncate = reader.flag({"truncate"});
  rope.apply_scaling = reader.flag({"apply_yarn_scaling", "apply_scale"});
  rope.theta_inside = reader.positive({"rope_theta"});
  for (auto member = reader.value().first(); member; member = member->next()) {
    rope.keys.emplace_back(member->key());
  }
}

Sourced<std::string> effective_type(const Rope& rope) {
  if (rope.rope_type_key) {
    return rope.rope_type_key;
  }
  if (rope.type_key) {
    return rope.type_key;
  }
  return Sourced<std::string>::defaulted(
      "default", rope.has_dictionary()
                     ? fmt::format("{} has neither type nor rope_type", rope.container)
                     : "no rope_scaling and no rope_parameters");
}

} // namespace

Rope read_rope(ConfigReader& reader, const Family& family) {
  Rope rope;
  const auto scaling = reader.object("rope_scaling");
  const auto parameters = reader.object("rope_parameters");
  const bool use_scaling = scaling && scaling->size() > 0;
  std::optional<json::Value> dictionary = use_scaling ? scaling : parameters;
  if (dictionary && dictionary->size() == 0) {
    dictionary.reset();
  }
  rope.both_containers = use_scaling && parameters && parameters->size() > 0;
  rope.containers_differ = rope.both_containers && dictionaries_differ(*scaling, *parameters);
  rope.theta_outside = reader.positive({"rope_theta"});
  if (dictionary) {
    rope.container = use_scaling ? "rope_scaling" : "rope_parameters";
    if (is_nested(*dictionary)) {
      dictionary = pick_layer(*dictionary);
      rope.layer = std::string(dictionary->key());
    }
    rope.container_pointer = dictionary->pointer();
    ConfigReader inner(*dictionary);
    read_dictionary(inner, rope);
    reader.adopt_error(inner);
    if (!rope.original_max_position_embeddings) {
      // transformers 5 looks beside the dictionary too: modeling_rope_utils.py@decba1d2 L742
      rope.original_max_position_embeddings = reader.positive({"original_max_position_embeddings"});
    }
  }
  rope.type = effective_type(rope);
  rope.theta = rope.theta_inside ? rope.theta_inside : rope.theta_outside;
  if (!rope.theta) {
    rope.theta = Sourced<double>::defaulted(
        family.defaults.rope_theta, fmt::format("{}: no rope_theta in the file", family.id));
  }
  if (family.interleaved) {
    rope.interleaved = Sourced<bool>::defaulted(*family.interleaved,
                                                fmt::format("{}: {}", family.id, family.source));
  } else {
    rope.interleaved = reader.flag({"rope_interleave"});
    if (!rope.interleaved) {
      rope.interleaved =
          Sourced<bool>::defaulted(true, "rope_interleave is true unless the file says otherwise");
    }
  }
  return rope;
}

} // namespace mla_scale::model
