#include <mla_scale/engines/rope_view.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::engines {
namespace {

using model::Format;
using model::MlaConfig;

std::optional<double> given(const model::Sourced<double>& field) {
  return field.value;
}

/// vllm-project/vllm transformers_utils/config.py@0036026e: sections of positions scale nothing.
void take_mrope(const model::Rope& rope, RopeView& view) {
  view.type = "default";
  if (std::find(rope.keys.begin(), rope.keys.end(), "mrope_section") == rope.keys.end()) {
    view.error = "ValueError: rope type mrope without 'mrope_section'";
  }
}

/// The type that the rule's reading finds; sets `view.error` where it fails.
void read_type(const EngineRule& rule, const MlaConfig& config, RopeView& view) {
  const model::Rope& rope = config.rope;
  if (config.format != Format::huggingface) {
    view.type = rope.type.value_or("default");
    return;
  }
  const std::optional<std::string>& type = rope.type_key.value;
  const std::optional<std::string>& rope_type = rope.rope_type_key.value;
  switch (rule.type) {
  case TypeReading::rope_type_first:
    view.type = rope_type ? *rope_type : type.value_or("default");
    break;
  case TypeReading::type_first:
    view.type = type ? *type : rope_type.value_or("default");
    break;
  case TypeReading::type_only:
    view.type = type.value_or("default");
    if (view.dictionary && !type) {
      view.error = "KeyError: 'type'";
    }
    break;
  case TypeReading::type_or_none:
    view.type = type.value_or("default");
    break;
  case TypeReading::must_not_differ: {
    view.type = rope_type ? *rope_type : type.value_or("default");
    if (rope.types_differ()) {
      view.error =
          fmt::format("ValueError: type '{}' and rope_type '{}' differ", *type, *rope_type);
    } else if (view.type == "mrope") {
      take_mrope(rope, view);
    }
    break;
  }
  }
}

} // namespace

bool contains_word(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::size_t space = list.find(' ');
    if (list.substr(0, space) == name) {
      return true;
    }
    list.remove_prefix(space == std::string_view::npos ? list.size() : space + 1);
  }
  return false;
}

bool reads_mistral_dictionary(const EngineRule& rule, const MlaConfig& config) {
  const bool copied = config.format == Format::huggingface && config.family->id == "mistral_large_3"
                      && !config.rope.mscale_all_dim;
  return rule.mistral != MistralReading::not_known && (config.format == Format::mistral || copied);
}

RopeView view_rope(const EngineRule& rule, const MlaConfig& config) {
  const model::Rope& rope = config.rope;
  RopeView view;
  view.max_positions = static_cast<double>(config.dims.max_position_embeddings.value_or(0));
  const bool unseen = rule.rope_scaling_only && config.format == Format::huggingface
                      && rope.container == "rope_parameters";
  const bool nested_unseen = rule.nested_is_default && !rope.layer.empty()
                             && config.attention != model::AttentionKind::shared_kv;
  if (unseen || nested_unseen) {
    view.unseen = unseen ? "reads rope_scaling, and not rope_parameters"
                         : "takes a dictionary for each layer kind for the rope type \"default\"";
    return view;
  }
  view.dictionary = rope.has_dictionary() || config.format == Format::deepseek;
  if (!view.dictionary) {
    return view;
  }
  read_type(rule, config, view);
  view.factor = given(rope.factor);
  view.factor_is_null = rope.factor.origin.kind == model::Origin::Kind::null;
  view.mscale = given(rope.mscale);
  view.mscale_all_dim = given(rope.mscale_all_dim);
  view.attention_factor = given(rope.attention_factor);
  view.attn_factor = given(rope.attn_factor);
  view.original = given(rope.original_max_position_embeddings);
  const bool says_nothing = config.format == Format::huggingface && view.type == "default"
                            && !view.factor && !view.factor_is_null;
  if (says_nothing && !rule.counts_default_dictionary) {
    view.dictionary = false;
    view.error.clear();
  }
  const bool length_known =
      config.dims.max_position_embeddings.was_read() || config.format == Format::deepseek;
  view.longer = !length_known || view.max_positions > view.original.value_or(4096);
  view.apply = rope.apply_scaling.value;
  const std::string& pointer = rope.apply_scaling.origin.pointer;
  view.apply_key = pointer.substr(std::min(pointer.size(), pointer.rfind('/') + 1));
  if (reads_mistral_dictionary(rule, config)) {
    view.mscale_all_dim = 1.0;
    if (rule.mistral == MistralReading::ignored) {
      view.mscale = 1.0;
      view.apply.reset();
    }
  }
  return view;
}

} // namespace mla_scale::engines
