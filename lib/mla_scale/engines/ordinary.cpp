#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/engines/magnitude.hpp>
#include <mla_scale/engines/ordinary.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::engines {
namespace {

using model::AttentionKind;
using model::MlaConfig;

struct WidthScale {
  double scale = 0;
  std::string words; ///< empty for the law's width
};

WidthScale scale_of(Width width, const MlaConfig& config) {
  const model::Dims& dims = config.dims;
  const std::int64_t head = *dims.qk_head_dim;
  const std::int64_t latent = dims.latent_dim.value_or(head);
  const auto root = [](std::int64_t n) { return std::pow(static_cast<double>(n), -0.5); };
  switch (width) {
  case Width::qk_head_dim:
    return {root(head), {}};
  case Width::latent_dim:
    return {root(latent), fmt::format("uses the latent width {}, not {}", latent, head)};
  case Width::v_head_dim:
    return {root(dims.v_head_dim.value_or(head)),
            fmt::format("uses v_head_dim {}, not {}", dims.v_head_dim.value_or(head), head)};
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

/// One phase: its scale, and what to say if that is not the law's. `reason` tells about g.
void set_phase(const Phase& phase, const MlaConfig& config, double g, const std::string& reason,
               std::optional<double>& value, std::string& why) {
  const WidthScale width = scale_of(phase.width, config);
  const double magnitude = phase.magnitude ? g : 1.0;
  value = width.scale * magnitude * magnitude;
  const bool other_width = phase.width == Width::fixed_192
                           || !same_scale(width.scale, scale_of(Width::qk_head_dim, config).scale);
  if (other_width) {
    why = width.words + (phase.magnitude || g == 1 ? "" : ", without mscale");
  } else {
    why = phase.magnitude ? reason : "leaves out mscale";
  }
  if (phase.inverse) {
    value = 1.0 / *value;
    why = "divides q by the scale instead of multiplying";
  }
}

/// `error` ends in the name of the missing key between quotes.
std::string needs_key(const std::string& error) {
  const std::size_t end = error.rfind('\'');
  const std::size_t begin = end == std::string::npos ? end : error.rfind('\'', end - 1);
  return begin == std::string::npos ? std::string("needs a rope key that is not there")
                                    : fmt::format("needs the rope key {}, which is not there",
                                                  error.substr(begin + 1, end - begin - 1));
}

Numbers key_failure(std::string error) {
  std::string why = error.starts_with("ValueError: type") ? "refuses type and rope_type that differ"
                    : error.starts_with("TypeError")      ? "factor is null"
                                                          : needs_key(error);
  return failing_numbers(std::move(error), std::move(why));
}

/// Whether reading the config fails before any scale is computed; no error when it does not.
Numbers reading_failure(const EngineRule& rule, const MlaConfig& config, const RopeView& view,
                        bool plain) {
  if (!view.error.empty()) {
    return key_failure(view.error);
  }
  if (!plain && !rule.nested_error.empty() && !config.rope.layer.empty()) {
    return failing_numbers(std::string(rule.nested_error),
                           "does not understand a rope dictionary for each layer kind");
  }
  const bool concerned = rule.without_dictionary_families.empty()
                         || contains_word(rule.without_dictionary_families, config.family->id);
  if (!plain && !rule.without_dictionary.empty() && !view.dictionary && concerned) {
    return failing_numbers(std::string(rule.without_dictionary), "fails without a rope dictionary");
  }
  if (rule.validates_keys && config.attention != AttentionKind::shared_kv) {
    if (std::string error = missing_required_keys(config, view); !error.empty()) {
      return key_failure(std::move(error));
    }
  }
  return {};
}

/// A rope type in the file that the engine does not know, found once the attention is built.
Numbers type_failure(const EngineRule& rule, const RopeView& view) {
  if (!view.dictionary || rule.known_types.empty() || contains_word(rule.known_types, view.type)) {
    return {};
  }
  return failing_numbers(rule.unknown_type_is_value_error
                             ? fmt::format("ValueError: Unknown RoPE scaling type {}", view.type)
                             : fmt::format("KeyError: '{}'", view.type),
                         fmt::format("does not know the rope type \"{}\"", view.type));
}

} // namespace

Numbers failing_numbers(std::string error, std::string why) {
  Numbers numbers;
  numbers.error = std::move(error);
  numbers.prefill_reason = std::move(why);
  return numbers;
}

Numbers ordinary_numbers(const EngineRule& rule, const MlaConfig& config, const FamilyNote* note,
                         bool plain) {
  const RopeView view = view_rope(rule, config);
  if (Numbers failure = reading_failure(rule, config, view, plain); !failure.error.empty()) {
    return failure;
  }
  const bool shared = config.attention == AttentionKind::shared_kv;
  const bool heads = note != nullptr && note->treatment == Treatment::ordinary_heads;
  const bool rederives = plain && rule.prefill_ignores_family && !shared && !heads
                         && config.family->rule != model::ScaleRule::mistral;
  const Magnitude magnitude = find_magnitude(rule, config, view);
  if (!magnitude.error.empty() && (!plain || rederives)) {
    return key_failure(magnitude.error);
  }
  if (Numbers failure = type_failure(rule, view); !plain && !failure.error.empty()) {
    return failure;
  }

  Phase prefill = heads ? Phase{} : rule.prefill;
  Phase decode = heads ? Phase{} : rule.decode;
  if (rule.latent_width_without_all_dim && magnitude.open && magnitude.weight == 0) {
    prefill.width = Width::latent_dim;
    decode.width = Width::latent_dim;
  }
  const double g = plain ? 1.0 : magnitude.g;
  std::string reason = magnitude.reason;
  if (plain) {
    reason = note != nullptr && !note->words.empty() ? std::string(note->words)
                                                     : "never applies mscale to this family";
  }
  Numbers numbers;
  set_phase(prefill, config, rederives ? magnitude.g : g,
            rederives ? "derives it again from the rope keys, though the model's code does not"
                      : reason,
            numbers.prefill, numbers.prefill_reason);
  set_phase(decode, config, g, reason, numbers.decode, numbers.decode_reason);
  if (shared && rule.cos_sin != CosSin::unknown) {
    numbers.cos_sin_factor = config.rope.attention_factor.value_or(1.0);
  } else {
    CosSinFactor cos_sin = find_cos_sin(rule, config, view, magnitude);
    numbers.cos_sin_factor = cos_sin.value;
    numbers.cos_sin_reason = std::move(cos_sin.reason);
  }
  return numbers;
}

} // namespace mla_scale::engines
