#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/engines/ordinary.hpp>
#include <mla_scale/engines/rope_view.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::engines {
namespace {

using model::Format;
using model::MlaConfig;
using scale::SoftmaxScale;

/// Families whose attention is DeepSeek's class in every engine that has it; a rule that was read
/// for one of them was read for all.
constexpr std::string_view k_deepseek_families =
    "deepseek_v2 deepseek_v3 deepseek_v32 deepseek_mtp deepseek2 kimi_k25 unknown";

/// The row's note on this model: by the outermost model_type, the architecture, then the family.
const FamilyNote* find_note(const EngineRule& rule, const MlaConfig& config) {
  const std::string architecture =
      config.architectures.empty() ? std::string() : config.architectures.front();
  for (const std::string& name :
       {config.model_type.value_or(""), architecture, std::string(config.family->id)}) {
    for (const FamilyNote& note : rule.families) {
      if (!name.empty() && contains_word(note.names, name)) {
        return &note;
      }
    }
  }
  return nullptr;
}

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    text += (text.empty() ? "" : "; ") + part;
  }
  return text;
}

/// Puts the numbers beside the law and says why they differ.
void judge(EngineValue& value, const Numbers& numbers, const SoftmaxScale* law) {
  value.error = numbers.error;
  if (!value.error.empty()) {
    value.agrees = false;
    value.because = numbers.prefill_reason;
    return;
  }
  value.prefill = numbers.prefill;
  value.decode = numbers.decode;
  value.cos_sin_factor = numbers.cos_sin_factor;
  if (law == nullptr) {
    value.agrees = false;
    value.because = "the model's own law has no value for this config";
    return;
  }
  std::vector<std::string> parts;
  const bool prefill_same = !value.prefill || same_scale(*value.prefill, law->prefill);
  const bool decode_same = !value.decode || same_scale(*value.decode, law->decode);
  if (!prefill_same && !decode_same && numbers.prefill_reason == numbers.decode_reason) {
    parts.push_back(numbers.prefill_reason);
  } else {
    if (!prefill_same) {
      parts.push_back("prefill: " + numbers.prefill_reason);
    }
    if (!decode_same) {
      parts.push_back("decode: " + numbers.decode_reason);
    }
  }
  const bool rotation_same = !value.cos_sin_factor || !law->cos_sin_factor
                             || same_scale(*value.cos_sin_factor, *law->cos_sin_factor);
  if (!rotation_same) {
    parts.push_back(fmt::format(
        "multiplies cos and sin by {:.6g}, not {:.6g}{}", *value.cos_sin_factor,
        *law->cos_sin_factor, numbers.cos_sin_reason.empty() ? "" : ": " + numbers.cos_sin_reason));
  }
  value.agrees = prefill_same && decode_same && rotation_same;
  value.because = join(parts);
}

/// Why the engine does not take files of this format; empty when it does.
std::string not_taken(const EngineRule& rule, const MlaConfig& config) {
  if (config.format == Format::gguf && !rule.reads_gguf) {
    return "reads config.json, not GGUF";
  }
  if (config.format == Format::deepseek && !rule.reads_deepseek) {
    return "does not read this format, the config of DeepSeek's own inference code";
  }
  if (config.format == Format::mistral && !reads_mistral_dictionary(rule, config)) {
    return "no reader of params.json is known";
  }
  return {};
}

/// transformers 5.17.0, executed on published configs without the key.
constexpr std::string_view k_unrecognized =
    "ValueError: Unrecognized model. Should have a `model_type` key in its config.json";

/// True for a config.json that names no code of its own, so that the engine has to know the model.
bool lacks_own_code(const MlaConfig& config) {
  return config.format == Format::huggingface
         && !(config.document && config.document->root().find("auto_map"));
}

/// transformers 5.17.0, executed on Ling-3.0-tiny.
std::string unknown_model_type(const MlaConfig& config) {
  return fmt::format("ValueError: model type `{}` but Transformers does not recognize this "
                     "architecture",
                     config.model_type.value_or(""));
}

/// The engine stops since it does not know the model.
EngineValue not_known(EngineValue value, std::string error, std::string why,
                      const SoftmaxScale* law) {
  judge(value, failing_numbers(std::move(error), std::move(why)), law);
  value.unknown_model = true;
  return value;
}

void add_remark(EngineValue& value, std::string_view remark) {
  if (!remark.empty()) {
    value.because += (value.because.empty() ? "" : "; ") + std::string(remark);
  }
}

/// What the Python code beside the weights computes: DeepSeek's for models that ship a copy of it;
/// other families' code is taken to follow the family's law.
EngineValue run_remote_code(const EngineRule& rule, const MlaConfig& config,
                            const SoftmaxScale* law, std::string_view words) {
  EngineValue value;
  if (contains_word(k_deepseek_families, config.family->id)) {
    value = evaluate(*find_engine_rule("remote-code"), config, law);
  } else if (law != nullptr) {
    value.prefill = law->prefill;
    value.decode = law->decode;
    value.cos_sin_factor = law->cos_sin_factor;
    value.agrees = true;
  } else {
    value.agrees = false;
  }
  value.rule = &rule;
  value.certainty = Certainty::inferred;
  add_remark(value, words);
  return value;
}

} // namespace

bool same_scale(double left, double right, double tolerance) {
  return std::abs(left - right) <= tolerance * std::max(std::abs(left), std::abs(right));
}

EngineValue evaluate(const EngineRule& rule, const MlaConfig& config, const SoftmaxScale* law) {
  EngineValue value;
  value.rule = &rule;
  value.certainty = rule.certainty;
  if (std::string reason = not_taken(rule, config); !reason.empty()) {
    value.because = std::move(reason);
    return value;
  }
  if (!rule.only_families.empty() && !contains_word(rule.only_families, config.family->id)) {
    value.because = fmt::format("does not know {}", config.family->id);
    return value;
  }
  if (rule.needs_model_type && !config.model_type && lacks_own_code(config)) {
    return not_known(value, std::string(k_unrecognized), "model_type is missing", law);
  }
  const bool adapted = reads_mistral_dictionary(rule, config);
  const FamilyNote* note =
      adapted && config.format == Format::mistral ? nullptr : find_note(rule, config);
  if (note != nullptr && note->certainty == Certainty::inferred) {
    value.certainty = Certainty::inferred;
  }
  const Treatment treatment = note != nullptr ? note->treatment : Treatment::rule;
  if (treatment == Treatment::unsupported) {
    value.because = note->words;
    return value;
  }
  if (treatment == Treatment::fails) {
    return not_known(value, std::string(note->words), "does not know this model", law);
  }
  if (treatment == Treatment::remote_code && lacks_own_code(config)) {
    return not_known(value, unknown_model_type(config),
                     "is not registered, and no auto_map names the model's own code", law);
  }
  if (treatment == Treatment::remote_code) {
    return run_remote_code(rule, config, law, note->words);
  }
  const bool family_never = config.family->rule == model::ScaleRule::never;
  const bool kernel = rule.key == Key::none; // knows neither families nor mscale
  const bool assumed = family_never && note == nullptr && !adapted && !kernel;
  const bool plain =
      assumed || treatment == Treatment::plain || treatment == Treatment::ordinary_heads;
  if (treatment == Treatment::deepseek_yarn
      || (note == nullptr && config.family->rule == model::ScaleRule::deepseek_yarn)) {
    EngineRule narrowed = rule;
    narrowed.gate = Gate::deepseek_yarn;
    narrowed.special = nullptr;
    judge(value, ordinary_numbers(narrowed, config, note, false), law);
  } else {
    Numbers numbers = rule.special != nullptr && !plain
                          ? rule.special(rule, config)
                          : ordinary_numbers(rule, config, note, plain);
    if (assumed) {
      numbers.cos_sin_factor.reset();
    }
    judge(value, numbers, law);
  }
  if (assumed) {
    value.certainty = Certainty::inferred;
    add_remark(value,
               fmt::format("taken for plain: its code for {} was not read", config.family->id));
  } else if (note == nullptr && !adapted && !kernel
             && !contains_word(k_deepseek_families, config.family->id)) {
    value.certainty = Certainty::inferred;
  }
  if (adapted && value.agrees == false) {
    add_remark(value, rule.mistral_words);
  }
  return value;
}

std::vector<EngineValue> evaluate_all(const MlaConfig& config, const SoftmaxScale* law) {
  std::vector<EngineValue> values;
  values.reserve(engine_rules().size());
  for (const EngineRule& rule : engine_rules()) {
    values.push_back(evaluate(rule, config, law));
  }
  return values;
}

std::vector<ScaleMatch> rules_giving(double scale, const MlaConfig& config, const SoftmaxScale* law,
                                     double tolerance) {
  std::vector<ScaleMatch> matches;
  for (const EngineRule& rule : engine_rules()) {
    const EngineValue value = evaluate(rule, config, law);
    ScaleMatch match;
    match.rule = &rule;
    match.prefill = value.prefill && same_scale(*value.prefill, scale, tolerance);
    match.decode = value.decode && same_scale(*value.decode, scale, tolerance);
    match.agrees = value.agrees.value_or(false);
    if (match.prefill || match.decode) {
      matches.push_back(match);
    }
  }
  return matches;
}

} // namespace mla_scale::engines
