#include <mla_scale/core/text.hpp>
#include <mla_scale/report/inspect_text.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace mla_scale::report {
namespace {

using model::AttentionKind;
using model::MlaConfig;
using model::Origin;

/// From this many models on, one line each says more than a block each.
constexpr std::size_t k_list_from = 4;

template <typename T>
std::string shown(const model::Sourced<T>& field) {
  return field ? format_number(static_cast<double>(*field)) : "none";
}

std::string heads(const MlaConfig& config) {
  return config.dims.num_attention_heads ? shown(config.dims.num_attention_heads) + " heads"
                                         : "heads not in the file";
}

std::string attention_line(const MlaConfig& config) {
  switch (config.attention) {
  case AttentionKind::mla:
    return "Multi-head Latent Attention";
  case AttentionKind::mla_nope:
    return "Multi-head Latent Attention without rotation (NoPE)";
  case AttentionKind::shared_kv:
    return "not MLA proper: one K = V head shared by all queries (DeepSeek V4 style)";
  case AttentionKind::none:
    break;
  }
  return "none";
}

std::string dims_line(const MlaConfig& config) {
  const model::Dims& dims = config.dims;
  if (config.attention == AttentionKind::shared_kv) {
    return fmt::format("{} heads of {} = {} nope + {} rope; K and V are the same {} wide row",
                       shown(dims.num_attention_heads), shown(dims.qk_head_dim),
                       shown(dims.qk_nope_head_dim), shown(dims.qk_rope_head_dim),
                       shown(dims.head_dim));
  }
  return fmt::format("{}; q, k {} = {} nope + {} rope; v {}; latent {} = {} + {}; q_lora {}",
                     heads(config), shown(dims.qk_head_dim), shown(dims.qk_nope_head_dim),
                     shown(dims.qk_rope_head_dim), shown(dims.v_head_dim), shown(dims.latent_dim),
                     shown(dims.kv_lora_rank), shown(dims.qk_rope_head_dim),
                     shown(dims.q_lora_rank));
}

std::string rope_line(const MlaConfig& config, const scale::SoftmaxScale& scale) {
  const model::Rope& rope = config.rope;
  if (!rope.rotated) {
    return "none: the rope slice is not rotated";
  }
  std::string text = escape_control(rope.type.value_or("default"));
  const auto add = [&](std::string_view name, const model::Sourced<double>& field) {
    if (field) {
      text += fmt::format(", {} {}", name, format_number(*field));
    }
  };
  add("factor", rope.factor);
  add("original", rope.original_max_position_embeddings);
  add("theta", rope.theta);
  if (rope.beta_fast || rope.beta_slow) {
    text += fmt::format(", beta {}/{}", shown(rope.beta_fast), shown(rope.beta_slow));
  }
  add("mscale", rope.mscale);
  add("mscale_all_dim", rope.mscale_all_dim);
  add("attention_factor", rope.attention_factor);
  text += rope.interleaved.value_or(true) ? ", interleaved" : ", half-split";
  if (!rope.layer.empty()) {
    text += fmt::format(" ({} layers)", escape_control(rope.layer));
  }
  if (scale.cos_sin_factor) {
    text += fmt::format("; cos and sin times {}", format_number(*scale.cos_sin_factor));
  }
  return text;
}

std::string place_text(const Origin& origin) {
  if (origin.position.line == 0) {
    return escape_control(origin.pointer); // the key of a GGUF
  }
  const std::string file = origin.file.substr(origin.file.rfind('/') + 1);
  return fmt::format("{}:{}:{} {}", escape_control(file), origin.position.line,
                     origin.position.column, escape_control(origin.pointer));
}

/// What stands behind a step: the place of a value that was read, the formula of one that was
/// computed.
std::string explanation(const scale::Step& step) {
  switch (step.origin.kind) {
  case Origin::Kind::read:
  case Origin::Kind::null:
    return step.value && step.step != "g"
               ? place_text(step.origin)
               : fmt::format("{} ({})", step.formula, place_text(step.origin));
  case Origin::Kind::defaulted:
    return step.step == "g" ? step.formula
                            : fmt::format("default of {}", escape_control(step.origin.reason));
  case Origin::Kind::derived:
    return step.formula;
  case Origin::Kind::absent:
    return fmt::format("{}; not in the file", step.formula);
  }
  return step.formula;
}

std::string derivation(const scale::SoftmaxScale& scale, const TerminalStyle& style) {
  std::string text;
  std::size_t name_width = 0;
  for (const scale::Step& step : scale.derivation) {
    name_width = std::max(name_width, step.step.size());
  }
  for (const scale::Step& step : scale.derivation) {
    const std::string value = step.value ? format_number(*step.value) : "";
    const std::string head = fmt::format("    {:<{}}  {:<20} ", step.step, name_width, value);
    text += hanging(head, columns(head), explanation(step), style.width);
  }
  return text;
}

std::string alternatives(const scale::SoftmaxScale& scale, const TerminalStyle& style) {
  std::string text =
      labelled("disputed", style.warn("decided by " + escape_control(scale.deciding_key)), style);
  for (const scale::Alternative& alternative : scale.alternatives) {
    const std::string head = fmt::format("    {:<20} ", format_number(alternative.value));
    text += hanging(head, columns(head),
                    fmt::format("{} ({})", alternative.when, fmt::join(alternative.engines, ", ")),
                    style.width);
  }
  return text;
}

std::string cache_line(const MlaConfig& config) {
  const std::vector<scale::CacheBytes> rows = scale::cache_bytes(config);
  const scale::CacheBytes& bf16 = rows.front();
  if (!bf16.expanded) {
    return fmt::format("{} bytes per token and layer in bf16", bf16.latent);
  }
  return fmt::format("{} bytes per token and layer in bf16; expanded it would be {} ({:.1f} times)",
                     bf16.latent, *bf16.expanded,
                     static_cast<double>(*bf16.expanded) / static_cast<double>(bf16.latent));
}

std::string block(const Inspection& inspection, const MlaConfig& config,
                  const TerminalStyle& style) {
  const scale::SoftmaxScale& scale = *inspection.scale;
  std::string text = style.bold(escape_control(config.source)) + "\n";
  text += labelled(
      "model",
      fmt::format("{} ({}), {}", config.family->title, config.family->id, to_string(config.format)),
      style);
  text += labelled("attention", attention_line(config), style);
  text += labelled("dims", dims_line(config), style);
  text += labelled("rope", rope_line(config, scale), style);
  text += labelled("prefill",
                   style.bold(format_number(scale.prefill)) + "  softmax scale"
                       + (scale.disputed ? ", disputed" : ""),
                   style);
  text += labelled("decode", style.bold(format_number(scale.decode)) + "  the same number", style);
  text += derivation(scale, style);
  if (scale.disputed) {
    text += alternatives(scale, style);
  }
  for (const std::string& beside : scale.beside) {
    text += labelled("beside", beside, style);
  }
  text += labelled("cache", cache_line(config), style);
  for (const Note& note : inspection.findings) {
    const std::string place =
        note.position.line == 0 ? ""
                                : fmt::format("{}:{}: ", note.position.line, note.position.column);
    text += labelled("note", place + escape_control(note.message), style);
  }
  return text;
}

} // namespace

std::string inspect_line(const Inspection& inspection, const TerminalStyle& style) {
  const std::string source = escape_control(inspection.model.source);
  if (!inspection.judged()) {
    return fmt::format("{:<20} {:<16} {}\n", "not MLA", "-", source);
  }
  const MlaConfig& config = *inspection.model.config();
  return fmt::format("{:<20} {:<16} {}{}\n", format_number(inspection.scale->prefill),
                     config.family->id, source,
                     inspection.scale->disputed ? style.warn("  disputed") : "");
}

bool InspectText::is_list() const {
  return m_judged >= k_list_from;
}

void InspectText::add(std::size_t index, const Inspection& inspection) {
  if (inspection.error) {
    ++m_failed;
    return; // told on standard error
  }
  Model& model = m_models[index];
  model.judged = inspection.judged();
  m_judged += model.judged ? 1 : 0;
  model.line = inspect_line(inspection, m_style);
  if (is_list()) {
    return;
  }
  if (const model::NotMla* other = inspection.model.not_mla()) {
    model.block = fmt::format("{}: {}\n", escape_control(inspection.model.source),
                              escape_control(other->reason));
  } else {
    model.block = block(inspection, *inspection.model.config(), m_style);
  }
}

std::string InspectText::finish() {
  std::string text;
  if (!is_list()) {
    for (const Model& model : m_models) {
      text += (model.judged && !text.empty() ? "\n" : "") + model.block;
    }
    return text;
  }
  text = fmt::format("{:<20} {:<16} {}\n", "softmax scale", "family", "config");
  for (const Model& model : m_models) {
    text += model.line;
  }
  text += fmt::format("{} models: {} judged, {} not MLA, {} with errors\n", m_models.size(),
                      m_judged.load(), m_models.size() - m_judged - m_failed, m_failed.load());
  return text;
}

std::string inspect_text(std::span<const Inspection> inspections, const TerminalStyle& style) {
  InspectText report(inspections.size(), style);
  for (std::size_t i = 0; i < inspections.size(); ++i) {
    report.add(i, inspections[i]);
  }
  return report.finish();
}

} // namespace mla_scale::report
