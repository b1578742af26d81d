#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/describe.hpp>

#include <fmt/format.h>

namespace mla_scale::engines {
namespace {

std::string_view words_of(Width width) {
  switch (width) {
  case Width::qk_head_dim:
    return "qk_head_dim^-1/2";
  case Width::latent_dim:
    return "latent_dim^-1/2";
  case Width::v_head_dim:
    return "v_head_dim^-1/2";
  case Width::fixed_192:
    return "192^-1/2";
  case Width::twice:
    return "qk_head_dim^-1";
  case Width::one:
    return "1";
  }
  return {};
}

std::string weight_of(const EngineRule& rule) {
  switch (rule.key) {
  case Key::none:
    return {};
  case Key::mscale_all_dim:
    return "mscale_all_dim";
  case Key::mscale:
    return "mscale";
  case Key::constant:
    return format_number(rule.constant);
  }
  return {};
}

std::string formula_of(const EngineRule& rule, const Phase& phase) {
  std::string text(words_of(phase.width));
  if (phase.magnitude && rule.key != Key::none) {
    text += fmt::format(" * g(factor, {})^2", weight_of(rule));
  }
  return phase.inverse ? "1 / (" + text + ")" : text;
}

std::string_view words_of(Gate gate) {
  switch (gate) {
  case Gate::always:
    return "whatever the rope type, where the factor is above 1";
  case Gate::not_default:
    return "for any rope type but \"default\"";
  case Gate::dictionary:
    return "whenever the config has a rope dictionary with more than rope type \"default\"";
  case Gate::factor_or_yarn:
    return "for a factor that is there, and for the rope types yarn and deepseek_yarn";
  case Gate::all_dim_key:
    return "whenever mscale_all_dim is there, whatever the rope type";
  case Gate::yarn:
    return "for the rope type \"yarn\", exactly";
  case Gate::deepseek_yarn:
    return "for the rope type \"deepseek_yarn\", exactly";
  case Gate::longer_than_original:
    return "where max_position_embeddings (or the length it is started with) exceeds "
           "original_max_position_embeddings";
  case Gate::yarn_and_longer:
    return "for the rope type \"yarn\", where max_position_embeddings exceeds "
           "original_max_position_embeddings";
  case Gate::original_given:
    return "where original_max_position_embeddings is above 0";
  }
  return {};
}

std::string_view words_of(TypeReading reading) {
  switch (reading) {
  case TypeReading::rope_type_first:
    return "rope_type, else type";
  case TypeReading::type_first:
    return "type, else rope_type";
  case TypeReading::type_only:
    return "type only; without it KeyError: 'type'";
  case TypeReading::type_or_none:
    return "type only; rope_type is not looked at";
  case TypeReading::must_not_differ:
    return "rope_type, else type; both and different is a ValueError; mrope is default";
  }
  return {};
}

std::string_view words_of(CosSin cos_sin) {
  switch (cos_sin) {
  case CosSin::unknown:
    return {};
  case CosSin::one:
    return "1";
  case CosSin::ratio:
    return "g(factor, mscale) / g(factor, mscale_all_dim)";
  case CosSin::transformers:
    return "attention_factor; else g(factor, mscale) / g(factor, mscale_all_dim) when both are "
           "there "
           "and not 0; else g(factor, 1)";
  }
  return {};
}

std::string missing_keys(const EngineRule& rule) {
  if (rule.key == Key::none || rule.special != nullptr) {
    return {};
  }
  if (rule.required_or_off) {
    return fmt::format("YaRN is off unless all of these are there: {}", rule.required);
  }
  std::string text = rule.missing_factor == MissingFactor::key_error ? "factor: KeyError"
                     : rule.missing_factor == MissingFactor::one     ? "factor: 1"
                                                                     : "factor: 40";
  if (rule.key == Key::mscale_all_dim) {
    text += "; mscale_all_dim: " + format_number(rule.missing_all_dim.value_or(0));
  } else if (rule.key == Key::mscale) {
    text += "; mscale: " + format_number(rule.missing_mscale.value_or(1));
  }
  if (!rule.required.empty()) {
    text += fmt::format("; KeyError without any of: {}", rule.required);
  }
  if (rule.fills_original) {
    text +=
        "; for yarn, llama3 and longrope transformers 5 has written max_position_embeddings for "
        "a missing original length before";
  }
  return text;
}

std::string switches(const EngineRule& rule) {
  std::string text;
  if ((rule.off_switches & k_apply_yarn_scaling) != 0) {
    text = "apply_yarn_scaling false";
  }
  if ((rule.off_switches & k_attention_factor_1) != 0) {
    text += (text.empty() ? "" : ", ") + std::string("attention_factor exactly 1.0");
  }
  return text;
}

std::string mistral(const EngineRule& rule) {
  const std::string more = rule.mistral_words.empty() ? "" : "; " + std::string(rule.mistral_words);
  switch (rule.mistral) {
  case MistralReading::not_known:
    return {};
  case MistralReading::honoured:
    return "apply_scale false leaves mscale out" + more;
  case MistralReading::ignored:
    return "apply_scale is not looked at, mscale_all_dim is 1" + more;
  }
  return {};
}

} // namespace

std::vector<Description> describe(const EngineRule& rule) {
  std::vector<Description> lines;
  const auto add = [&](std::string_view label, std::string text) {
    if (!text.empty()) {
      lines.push_back({label, std::move(text)});
    }
  };
  const std::string prefill = formula_of(rule, rule.prefill);
  const std::string decode = formula_of(rule, rule.decode);
  add("engine", std::string(rule.name));
  add("versions", std::string(rule.versions));
  if (!rule.formula.empty()) {
    add("formula", std::string(rule.formula));
  } else if (prefill == decode) {
    add("formula", prefill + " in prefill and decode");
  } else {
    add("prefill", prefill);
    add("decode", decode);
  }
  const bool shaped = rule.key != Key::none && rule.special == nullptr;
  add("applies", shaped ? std::string(words_of(rule.gate)) : "");
  add("off with", switches(rule));
  add("type from", shaped ? std::string(words_of(rule.type)) : "");
  add("missing", missing_keys(rule));
  add("cos, sin", rule.special == nullptr ? std::string(words_of(rule.cos_sin)) : "");
  add("Mistral", mistral(rule));
  for (const FamilyNote& note : rule.families) {
    if (!note.words.empty()) {
      add("but", fmt::format("{}: {}", note.names, note.words));
    }
  }
  add("note", std::string(rule.note));
  add("source", std::string(rule.source));
  add("how sure", std::string(to_string(rule.certainty)));
  return lines;
}

} // namespace mla_scale::engines
