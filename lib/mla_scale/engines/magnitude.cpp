#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/magnitude.hpp>
#include <mla_scale/scale/magnitude.hpp>
#include <mla_scale/scale/yarn.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::engines {
namespace {

using model::MlaConfig;

bool is_yarn_name(std::string_view type) {
  return type == "yarn" || type == "deepseek_yarn" || type == "telechat3-yarn";
}

bool has_key(const MlaConfig& config, std::string_view key) {
  const std::vector<std::string>& keys = config.rope.keys;
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

constexpr double k_default_original = 4096; // of DeepSeek's classes
constexpr std::string_view k_original_key = "original_max_position_embeddings";

/// Rope types for which transformers 5 writes max_position_embeddings where the original length is
/// missing: modeling_rope_utils.py@decba1d2 L742.
bool is_filled_in(std::string_view type) {
  return type == "yarn" || type == "telechat3-yarn" || type == "llama3" || type == "longrope"
         || type == "su";
}

/// The last part of the pointer: the name of the key in the file.
std::string key_name(const model::Sourced<bool>& field) {
  const std::string& pointer = field.origin.pointer;
  return pointer.substr(std::min(pointer.size(), pointer.rfind('/') + 1));
}

/// First of the space-separated keys that the rope dictionary lacks.
std::string_view first_missing(const MlaConfig& config, std::string_view keys) {
  while (!keys.empty()) {
    const std::size_t space = keys.find(' ');
    const std::string_view key = keys.substr(0, space);
    if (!has_key(config, key)) {
      return key;
    }
    keys.remove_prefix(space == std::string_view::npos ? keys.size() : space + 1);
  }
  return {};
}

std::string length_reason(const RopeView& view) {
  return fmt::format("length gate: max_position_embeddings {} <= original {}",
                     format_number(view.max_positions),
                     format_number(view.original.value_or(k_default_original)));
}

/// `wanted` is the one type that opens the gate.
std::string wrong_type(const EngineRule& rule, const MlaConfig& config, const RopeView& view,
                       std::string_view wanted) {
  if (!view.dictionary) {
    return "sees no rope scaling";
  }
  const model::Rope& rope = config.rope;
  if (rule.type == TypeReading::type_or_none && !rope.type_key && rope.rope_type_key) {
    return *rope.rope_type_key == wanted
               ? "reads the key type, which is missing here, and not rope_type"
               : fmt::format("type must be exactly {}; there is only rope_type, \"{}\"", wanted,
                             escape_control(*rope.rope_type_key));
  }
  return fmt::format("type must be exactly {}, not \"{}\"", wanted, escape_control(view.type));
}

/// Why the gate is closed; empty when it is open.
std::string closed_because(const EngineRule& rule, const MlaConfig& config, const RopeView& view) {
  if (!view.unseen.empty()) {
    return view.unseen;
  }
  const bool longer = view.longer;
  std::string nothing = view.dictionary ? "" : "sees no rope scaling";
  switch (rule.gate) {
  case Gate::always:
    return {};
  case Gate::not_default:
    return view.type != "default" ? ""
           : nothing.empty()      ? "takes the rope type for default"
                                  : nothing;
  case Gate::dictionary:
    return nothing;
  case Gate::factor_or_yarn:
    return view.factor || is_yarn_name(view.type) ? "" : "sees no factor";
  case Gate::all_dim_key:
    return view.mscale_all_dim ? "" : nothing.empty() ? "mscale_all_dim is missing" : nothing;
  case Gate::yarn:
    return view.type == "yarn" ? "" : wrong_type(rule, config, view, "yarn");
  case Gate::deepseek_yarn:
    return view.type == "deepseek_yarn" ? "" : wrong_type(rule, config, view, "deepseek_yarn");
  case Gate::longer_than_original:
    return !nothing.empty() ? nothing : longer ? "" : length_reason(view);
  case Gate::yarn_and_longer:
    return view.type != "yarn" ? wrong_type(rule, config, view, "yarn")
           : longer            ? ""
                               : length_reason(view);
  case Gate::original_given:
    return view.original.value_or(0) > 0 ? ""
           : nothing.empty()             ? "original_max_position_embeddings is missing"
                                         : nothing;
  }
  return {};
}

std::string switched_off_by(const EngineRule& rule, const MlaConfig& config, const RopeView& view) {
  const bool knows_apply =
      (rule.off_switches & k_apply_yarn_scaling) != 0 || reads_mistral_dictionary(rule, config);
  if (knows_apply && view.apply && !*view.apply) {
    return view.apply_key + " false switches mscale off";
  }
  if ((rule.off_switches & k_attention_factor_1) != 0 && view.attention_factor
      && *view.attention_factor == 1.0) {
    return "attention_factor 1.0 switches mscale off";
  }
  return {};
}

double weight_of(const EngineRule& rule, const RopeView& view) {
  switch (rule.key) {
  case Key::mscale_all_dim:
    return view.mscale_all_dim.value_or(rule.missing_all_dim.value_or(0));
  case Key::mscale:
    return view.mscale.value_or(rule.missing_mscale.value_or(1));
  case Key::constant:
  case Key::none:
    return rule.constant;
  }
  return rule.constant;
}

/// Where the weight comes from, for one that is not the law's.
std::string weight_words(const EngineRule& rule, const RopeView& view, double weight) {
  const std::string all_dim = view.mscale_all_dim ? format_number(*view.mscale_all_dim) : "missing";
  std::string words;
  switch (rule.key) {
  case Key::mscale:
    words = mscale_instead(view, weight);
    break;
  case Key::constant:
    words = fmt::format("takes the constant {} for mscale_all_dim ({})", format_number(weight),
                        all_dim);
    break;
  case Key::mscale_all_dim:
  case Key::none:
    words = fmt::format("takes mscale_all_dim ({}) for {}", all_dim, format_number(weight));
    break;
  }
  const bool forty = rule.missing_factor == MissingFactor::forty && view.dictionary && !view.factor;
  return words + (forty ? ", with 40 for the missing factor" : "");
}

constexpr std::string_view k_null_factor =
    "TypeError: '<=' not supported between instances of 'NoneType' and 'int'";

/// The first of the keys that the rule indexes and that nothing fills in; empty when all are there.
std::string_view first_missing_required(const EngineRule& rule, const MlaConfig& config,
                                        const RopeView& view) {
  if (!view.dictionary || config.format != model::Format::huggingface) {
    return {};
  }
  const std::string_view missing = first_missing(config, rule.required);
  return rule.fills_original && missing == k_original_key && is_filled_in(view.type)
             ? std::string_view{}
             : missing;
}

/// The factor that the rule takes; sets `error` where it stops over it.
double factor_of(const EngineRule& rule, const RopeView& view, Magnitude& magnitude) {
  if (view.factor || !view.dictionary) {
    return view.factor.value_or(1);
  }
  const bool indexed = rule.missing_factor == MissingFactor::key_error;
  if (indexed && !view.factor_is_null) {
    magnitude.error = "KeyError: 'factor'";
  } else if (indexed && magnitude.weight != 0) {
    magnitude.error = k_null_factor;
  }
  return missing_factor_of(rule);
}

} // namespace

double missing_factor_of(const EngineRule& rule) {
  return rule.missing_factor == MissingFactor::forty ? 40 : 1;
}

std::string mscale_instead(const RopeView& view, double weight) {
  return fmt::format("reads mscale ({}), not mscale_all_dim ({})",
                     view.mscale ? format_number(*view.mscale)
                                 : "missing, taken for " + format_number(weight),
                     view.mscale_all_dim ? format_number(*view.mscale_all_dim) : "missing");
}

std::string applied_because(const EngineRule& rule, const MlaConfig& config, const RopeView& view,
                            const std::string& weight_reason) {
  const scale::Magnitude law = scale::magnitude_of(config);
  const std::string type = config.rope.type.value_or("default");
  switch (law.closed) {
  case scale::Closed::no:
  case scale::Closed::no_weight:
    return weight_reason;
  case scale::Closed::shared_kv:
    return "applies mscale, though one head is shared as K and V";
  case scale::Closed::nope:
    return "applies mscale, though nothing is rotated";
  case scale::Closed::family:
    return fmt::format("applies mscale, though {} never does", config.family->id);
  case scale::Closed::rope_type:
    if (view.type != type) {
      return fmt::format("takes type (\"{}\"), not rope_type (\"{}\")", escape_control(view.type),
                         escape_control(type));
    }
    return rule.gate == Gate::longer_than_original
               ? fmt::format("its length gate does not ask for the rope type (\"{}\")",
                             escape_control(type))
               : fmt::format("applies mscale whatever the rope type (\"{}\")",
                             escape_control(type));
  case scale::Closed::switched_off:
    return fmt::format("does not look at {}", key_name(config.rope.apply_scaling));
  }
  return weight_reason;
}

Magnitude find_magnitude(const EngineRule& rule, const MlaConfig& config, const RopeView& view) {
  Magnitude magnitude;
  magnitude.yarn_seen = rule.gate == Gate::yarn || rule.gate == Gate::yarn_and_longer
                            ? view.type == "yarn"
                            : is_yarn_name(view.type);
  if (rule.key == Key::none) {
    magnitude.reason = "has no mscale";
    return magnitude;
  }
  magnitude.weight = weight_of(rule, view);
  // With a weight of 0 an open gate would change nothing.
  const std::string beside =
      magnitude.weight == 0 && scale::magnitude_of(config).applies() && view.unseen.empty()
          ? " and " + weight_words(rule, view, magnitude.weight)
          : "";
  magnitude.closed = closed_because(rule, config, view);
  if (!magnitude.closed.empty()) {
    magnitude.reason = magnitude.closed + beside;
    return magnitude;
  }
  if (const std::string_view missing = first_missing_required(rule, config, view);
      !missing.empty()) {
    if (rule.required_or_off) {
      magnitude.yarn_seen = false;
      magnitude.closed =
          fmt::format("takes YaRN only with every key of it; {} is missing", missing);
      magnitude.reason = magnitude.closed;
    } else {
      magnitude.error = fmt::format("KeyError: '{}'", missing);
    }
    return magnitude;
  }
  if (const std::string off = switched_off_by(rule, config, view); !off.empty()) {
    magnitude.reason = off + beside;
    return magnitude;
  }
  magnitude.open = true;
  const double factor = factor_of(rule, view, magnitude);
  if (magnitude.error.empty()) {
    magnitude.g = scale::yarn_magnitude(factor, magnitude.weight);
    magnitude.reason =
        applied_because(rule, config, view, weight_words(rule, view, magnitude.weight));
  }
  return magnitude;
}

std::string missing_required_keys(const MlaConfig& config, const RopeView& view) {
  struct Row {
    std::string_view type;
    std::string_view keys;
  };
  // original_max_position_embeddings is required too, but is filled in before the check.
  constexpr Row k_rows[] = {{"linear", "factor"},
                            {"dynamic", "factor"},
                            {"yarn", "factor"},
                            {"longrope", "short_factor long_factor"},
                            {"llama3", "factor low_freq_factor high_freq_factor"}};
  if (!view.dictionary || config.format != model::Format::huggingface) {
    return {};
  }
  for (const Row& row : k_rows) {
    if (row.type != view.type) {
      continue;
    }
    if (const std::string_view missing = first_missing(config, row.keys); !missing.empty()) {
      return fmt::format("KeyError: \"Missing required keys in `rope_parameters` for "
                         "'rope_type'='{}': {{'{}'}}\"",
                         row.type, missing);
    }
  }
  return {};
}

} // namespace mla_scale::engines
