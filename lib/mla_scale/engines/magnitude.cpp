#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/magnitude.hpp>
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
                     format_number(view.max_positions), format_number(view.original.value_or(0)));
}

/// `wanted` is the one type that opens the gate.
std::string wrong_type(const EngineRule& rule, const MlaConfig& config, const RopeView& view,
                       std::string_view wanted) {
  if (!view.dictionary) {
    return "sees no rope scaling";
  }
  if (rule.type == TypeReading::type_or_none && !config.rope.type_key
      && config.rope.rope_type_key) {
    return "reads the key type, which is missing here, and not rope_type";
  }
  return fmt::format("type must be {}, not \"{}\"", wanted, view.type);
}

/// Why the gate is closed; empty when it is open.
std::string closed_because(const EngineRule& rule, const MlaConfig& config, const RopeView& view) {
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
    return view.type == "yarn" ? "" : wrong_type(rule, config, view, "exactly yarn");
  case Gate::yarn_any:
    return is_yarn_name(view.type) ? "" : wrong_type(rule, config, view, "yarn");
  case Gate::deepseek_yarn:
    return view.type == "deepseek_yarn" ? ""
                                        : wrong_type(rule, config, view, "exactly deepseek_yarn");
  case Gate::longer_than_original:
    return !nothing.empty() ? nothing : longer ? "" : length_reason(view);
  case Gate::yarn_and_longer:
    return view.type != "yarn" ? wrong_type(rule, config, view, "exactly yarn")
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

std::string describe_weight(const EngineRule& rule, const RopeView& view, double weight) {
  const std::string all_dim = view.mscale_all_dim ? format_number(*view.mscale_all_dim) : "missing";
  if (rule.key == Key::mscale) {
    return fmt::format("reads mscale ({}), not mscale_all_dim ({})",
                       view.mscale ? format_number(*view.mscale)
                                   : "missing, taken for " + format_number(weight),
                       all_dim);
  }
  if (rule.key == Key::constant) {
    return fmt::format("takes the constant {} for mscale_all_dim ({})", format_number(weight),
                       all_dim);
  }
  if (view.apply && !*view.apply) {
    return "does not look at " + view.apply_key;
  }
  if (!view.mscale_all_dim) {
    return "mscale_all_dim is missing and counts as " + format_number(weight);
  }
  if (!is_yarn_name(view.type)) {
    return fmt::format("applies mscale_all_dim whatever the rope type (\"{}\")", view.type);
  }
  return fmt::format("applies mscale_all_dim ({})", all_dim);
}

constexpr std::string_view k_null_factor =
    "TypeError: '<=' not supported between instances of 'NoneType' and 'int'";

} // namespace

Magnitude find_magnitude(const EngineRule& rule, const MlaConfig& config, const RopeView& view) {
  Magnitude magnitude;
  magnitude.yarn_seen = rule.gate == Gate::yarn || rule.gate == Gate::yarn_and_longer
                            ? view.type == "yarn"
                            : is_yarn_name(view.type);
  if (rule.key == Key::none) {
    magnitude.reason = "has no mscale";
    return magnitude;
  }
  magnitude.reason = closed_because(rule, config, view);
  if (!magnitude.reason.empty()) {
    return magnitude;
  }
  const std::string_view missing = view.dictionary && config.format == model::Format::huggingface
                                       ? first_missing(config, rule.required)
                                       : std::string_view{};
  if (!missing.empty() && rule.required_or_off) {
    magnitude.yarn_seen = false;
    magnitude.reason = fmt::format("takes YaRN only with every key of it; {} is missing", missing);
    return magnitude;
  }
  if (!missing.empty()) {
    magnitude.error = fmt::format("KeyError: '{}'", missing);
    return magnitude;
  }
  magnitude.reason = switched_off_by(rule, config, view);
  if (!magnitude.reason.empty()) {
    return magnitude;
  }
  magnitude.open = true;
  switch (rule.key) {
  case Key::mscale_all_dim:
    magnitude.weight = view.mscale_all_dim.value_or(rule.missing_all_dim.value_or(0));
    break;
  case Key::mscale:
    magnitude.weight = view.mscale.value_or(rule.missing_mscale.value_or(1));
    break;
  case Key::constant:
  case Key::none:
    magnitude.weight = rule.constant;
    break;
  }
  double factor = view.factor.value_or(1);
  if (!view.factor && view.dictionary) {
    if (view.factor_is_null && magnitude.weight != 0
        && rule.missing_factor == MissingFactor::key_error) {
      magnitude.error = k_null_factor;
      return magnitude;
    }
    if (!view.factor_is_null && rule.missing_factor == MissingFactor::key_error) {
      magnitude.error = "KeyError: 'factor'";
      return magnitude;
    }
    factor = rule.missing_factor == MissingFactor::forty ? 40 : 1;
  }
  magnitude.g = scale::yarn_magnitude(factor, magnitude.weight);
  magnitude.reason = describe_weight(rule, view, magnitude.weight);
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
