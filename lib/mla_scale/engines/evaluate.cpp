#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/engines/magnitude.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::engines {
namespace {

using model::AttentionKind;
using model::Format;
using model::MlaConfig;
using scale::SoftmaxScale;

constexpr double k_same = 1e-9;

/// Families whose attention is DeepSeek's class in every engine that has it; a rule that was read
/// for one of them was read for all.
constexpr std::string_view k_deepseek_families =
    "deepseek_v2 deepseek_v3 deepseek_v32 deepseek_mtp kimi_k25 unknown";

bool same(double left, double right, double tolerance = k_same) {
  return std::abs(left - right) <= tolerance * std::max(std::abs(left), std::abs(right));
}

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

struct WidthValue {
  double scale = 0;
  std::string words; ///< empty for the law's width
};

WidthValue scale_of(Width width, const MlaConfig& config) {
  const model::Dims& dims = config.dims;
  const std::int64_t head = *dims.qk_head_dim;
  const std::int64_t latent = dims.latent_dim.value_or(head);
  const auto root = [](std::int64_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); };
  switch (width) {
  case Width::qk_head_dim:
    return {root(head), {}};
  case Width::latent_dim:
    return {root(latent), fmt::format("uses the latent width {}, not {}", latent, head)};
  case Width::v_head_dim:
    return {root(dims.v_head_dim.value_or(head)),
            fmt::format("uses v_head_dim {}, not {}", dims.v_head_dim.value_or(head), head)};
  case Width::key_length: {
    const std::int64_t length = config.gguf.key_length.value_or(latent);
    return {root(length), fmt::format("divides by the root of attention.key_length {}, not of "
                                      "key_length_mla {}",
                                      length, head)};
  }
  case Width::fixed_192:
    return {root(192), "takes the constant 192^-1/2"};
  case Width::twice:
    return {1.0 / static_cast<double>(head),
            fmt::format("applies {}^-1/2 twice: to q and as the kernel's scale", head)};
  case Width::one:
    return {1.0, "the kernel multiplies by 1 unless the caller passes a scale"};
  }
  return {root(head), {}};
}

/// scale of one phase, and what to say if it is not the law's.
void set_phase(const Phase& phase, const MlaConfig& config, double g, const std::string& reason,
               std::optional<double>& value, std::string& why) {
  const WidthValue width = scale_of(phase.width, config);
  const double magnitude = phase.magnitude ? g : 1.0;
  value = width.scale * magnitude * magnitude;
  const bool other_width = phase.width == Width::fixed_192
                           || !same(width.scale, scale_of(Width::qk_head_dim, config).scale);
  why = !width.words.empty() && other_width
            ? width.words + (phase.magnitude ? "" : ", without mscale")
        : phase.magnitude ? reason
                          : "leaves out mscale";
  if (phase.inverse) {
    value = 1.0 / *value;
    why = "divides q by the scale instead of multiplying";
  }
}

Numbers failing(std::string error, std::string why) {
  Numbers numbers;
  numbers.error = std::move(error);
  numbers.prefill_reason = std::move(why);
  return numbers;
}

std::string why_key_error(const std::string& error) {
  if (error.find("NoneType") != std::string::npos) {
    return "factor is null";
  }
  if (error.starts_with("ValueError")) {
    return "refuses type and rope_type that differ";
  }
  const std::size_t begin = error.rfind("'", error.rfind("'") - 1) + 1;
  return fmt::format("needs the rope key {}, which is not there",
                     error.substr(begin, error.rfind("'") - begin));
}

/// The ordinary arithmetic of a row. `plain`: the family takes no magnitude in this engine.
Numbers ordinary(const EngineRule& rule, const MlaConfig& config, const FamilyNote* note,
                 bool plain) {
  const RopeView view = view_rope(rule, config);
  const bool shared = config.attention == AttentionKind::shared_kv;
  if (!view.error.empty()) {
    return failing(view.error, why_key_error(view.error));
  }
  if (!plain && !rule.nested_error.empty() && !config.rope.layer.empty()) {
    return failing(std::string(rule.nested_error),
                   "does not understand a rope dictionary for each layer kind");
  }
  if (!plain && !rule.without_dictionary.empty() && !view.dictionary
      && (rule.without_dictionary_families.empty()
          || contains_word(rule.without_dictionary_families, config.family->id))) {
    return failing(std::string(rule.without_dictionary), "fails without a rope dictionary");
  }
  if (rule.validates_keys && !shared) {
    if (std::string error = missing_required_keys(config, view); !error.empty()) {
      std::string why = why_key_error(error);
      return failing(std::move(error), std::move(why));
    }
  }
  Magnitude magnitude = find_magnitude(rule, config, view);
  const bool heads = note != nullptr && note->treatment == Treatment::ordinary_heads;
  const bool rederives = rule.prefill_ignores_family && !shared && !heads
                         && config.family->rule != model::ScaleRule::mistral;
  if (!magnitude.error.empty() && (!plain || rederives)) {
    return failing(magnitude.error, why_key_error(magnitude.error));
  }
  if (!plain && !rule.known_types.empty() && !contains_word(rule.known_types, view.type)) {
    return failing(rule.unknown_type_is_value_error
                       ? fmt::format("ValueError: Unknown RoPE scaling type {}", view.type)
                       : fmt::format("KeyError: '{}'", view.type),
                   fmt::format("does not know the rope type \"{}\"", view.type));
  }
  const double prefill_g = plain && !rederives ? 1.0 : magnitude.g;
  const std::string plain_reason = note != nullptr && !note->words.empty()
                                       ? std::string(note->words)
                                       : "never applies mscale to this family";
  Phase prefill = rule.prefill;
  Phase decode = rule.decode;
  if (heads) {
    prefill = {};
    decode = {};
  }
  if (rule.latent_width_without_all_dim && magnitude.open && magnitude.weight == 0) {
    prefill.width = Width::latent_dim;
    decode.width = Width::latent_dim;
  }
  Numbers numbers;
  set_phase(prefill, config, prefill_g,
            plain && rederives
                ? "derives it again from the rope keys, though the model's own code does not"
            : plain ? plain_reason
                    : magnitude.reason,
            numbers.prefill, numbers.prefill_reason);
  set_phase(decode, config, plain ? 1.0 : magnitude.g, plain ? plain_reason : magnitude.reason,
            numbers.decode, numbers.decode_reason);
  if (shared && rule.cos_sin != CosSin::unknown) {
    numbers.cos_sin_factor = config.rope.attention_factor.value_or(1.0);
  } else {
    numbers.cos_sin_factor = find_cos_sin(rule, config, view, magnitude);
  }
  numbers.cos_sin_reason = cos_sin_reason(rule, view);
  return numbers;
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
  const bool prefill_same = !value.prefill || same(*value.prefill, law->prefill);
  const bool decode_same = !value.decode || same(*value.decode, law->decode);
  if (!prefill_same && !decode_same && numbers.prefill_reason == numbers.decode_reason) {
    parts.push_back(numbers.prefill_reason);
  } else {
    if (!prefill_same) {
      parts.push_back("prefill " + numbers.prefill_reason);
    }
    if (!decode_same) {
      parts.push_back("decode " + numbers.decode_reason);
    }
  }
  const bool rotation_same = !value.cos_sin_factor || !law->cos_sin_factor
                             || same(*value.cos_sin_factor, *law->cos_sin_factor);
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
  if (config.format == Format::mistral && !reads_mistral_dictionary(rule, config)) {
    return "no reader of params.json is known";
  }
  return {};
}

void weaken(EngineValue& value) {
  if (value.certainty == Certainty::read) {
    value.certainty = Certainty::inferred;
  }
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
  weaken(value);
  add_remark(value, words);
  return value;
}

} // namespace

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
  const bool adapted = reads_mistral_dictionary(rule, config);
  const FamilyNote* note =
      adapted && config.format == Format::mistral ? nullptr : find_note(rule, config);
  if (note != nullptr && note->certainty == Certainty::inferred) {
    weaken(value);
  }
  const Treatment treatment = note != nullptr ? note->treatment : Treatment::rule;
  if (treatment == Treatment::unsupported) {
    value.because = note->words;
    return value;
  }
  if (treatment == Treatment::fails) {
    judge(value, failing(std::string(note->words), "does not know this model"), law);
    return value;
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
    judge(value, ordinary(narrowed, config, note, false), law);
  } else {
    Numbers numbers = rule.special != nullptr && !plain ? rule.special(rule, config)
                                                        : ordinary(rule, config, note, plain);
    if (assumed) {
      numbers.cos_sin_factor.reset();
    }
    judge(value, numbers, law);
  }
  if (assumed) {
    weaken(value);
    add_remark(value,
               fmt::format("taken for plain: its code for {} was not read", config.family->id));
  } else if (note == nullptr && !adapted && !kernel
             && !contains_word(k_deepseek_families, config.family->id)) {
    weaken(value);
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
    match.prefill = value.prefill && same(*value.prefill, scale, tolerance);
    match.decode = value.decode && same(*value.decode, scale, tolerance);
    match.agrees = value.agrees.value_or(false);
    if (match.prefill || match.decode) {
      matches.push_back(match);
    }
  }
  return matches;
}

} // namespace mla_scale::engines
