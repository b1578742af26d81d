#include <mla_scale/core/text.hpp>
#include <mla_scale/report/engines_text.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace mla_scale::report {
namespace {

using engines::EngineValue;

/// Room for the widest rows; names of engines are shown where they fit behind that.
constexpr int k_table_columns = 80;
constexpr int k_room_for_names = 30;
/// Below this much room beside the engine, numbers are shorter and two columns are left out.
constexpr int k_room_for_all = 58;
/// Rules that do not take the model are named up to this number.
constexpr std::size_t k_most_listed = 12;

enum class Agreement { agrees, differs, fails, not_taken };

Agreement agreement_of(const EngineValue& value) {
  return !value.error.empty() ? Agreement::fails
         : !value.agrees      ? Agreement::not_taken
         : *value.agrees      ? Agreement::agrees
                              : Agreement::differs;
}

std::string number(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}g}", *value, digits) : "-";
}

std::string mark(Agreement agreement, const TerminalStyle& style) {
  switch (agreement) {
  case Agreement::agrees:
    return style.good("agrees ");
  case Agreement::differs:
    return style.bad("differs");
  case Agreement::fails:
    return style.bad("fails  ");
  case Agreement::not_taken:
    return "-      ";
  }
  return {};
}

class EngineTable {
public:
  EngineTable(const EngineComparison& comparison, const TerminalStyle& style) : m_style(style) {
    for (const EngineValue& value : comparison.values) {
      m_id = std::max(m_id, static_cast<int>(value.rule->id.size()));
    }
    m_names = style.width >= k_table_columns + k_room_for_names;
    m_all = style.width >= m_id + k_room_for_all;
  }

  [[nodiscard]] std::string header() const {
    if (!m_all) {
      return m_style.dim(fmt::format("  {:<{}}  {:<9}  {:<9}  verdict", "engine", m_id, "prefill",
                                     "decode"))
             + "\n";
    }
    return m_style.dim(fmt::format("  {:<{}}  {:<12}  {:<12}  {:<7}  {:<7}  {}{}", "engine", m_id,
                                   "prefill", "decode", "cos/sin", "verdict", "how sure",
                                   m_names ? " name" : ""))
           + "\n";
  }

  [[nodiscard]] std::string row(const EngineValue& value) const {
    if (!m_all) {
      return fmt::format("  {:<{}}  {:<9}  {:<9}  {}\n", value.rule->id, m_id,
                         number(value.prefill, 6), number(value.decode, 6),
                         mark(agreement_of(value), m_style));
    }
    const std::string head =
        fmt::format("  {:<{}}  {:<12}  {:<12}  {:<7}  {}  ", value.rule->id, m_id,
                    number(value.prefill, 8), number(value.decode, 8),
                    number(value.cos_sin_factor, 5), mark(agreement_of(value), m_style));
    if (!m_names) {
      return head + std::string(to_string(value.certainty)) + "\n";
    }
    constexpr int k_before_name = 59;
    return hanging(head + fmt::format("{:<8} ", to_string(value.certainty)), m_id + k_before_name,
                   value.rule->name, m_style.width);
  }

  [[nodiscard]] std::string reason(const EngineValue& value) const {
    std::string text;
    if (!value.error.empty()) {
      text = hanging("      ", 6, escape_control(value.error), m_style.width);
    }
    if (!value.because.empty()) {
      text += hanging("      ", 6, escape_control(value.because), m_style.width);
    }
    return text;
  }

private:
  const TerminalStyle& m_style;
  int m_id = 6;
  bool m_names = false;
  bool m_all = true;
};

std::string heading(const Inspection& inspection, const TerminalStyle& style) {
  const model::MlaConfig& config = *inspection.model.config();
  std::string text = style.bold(escape_control(config.source)) + "\n";
  std::string law = "no value: the law cannot be applied to this config";
  if (inspection.scale) {
    const scale::SoftmaxScale& scale = *inspection.scale;
    law = fmt::format("{} in prefill and decode{}{}", format_number(scale.prefill),
                      scale.cos_sin_factor ? fmt::format(", cos and sin times {}",
                                                         format_number(*scale.cos_sin_factor))
                                           : "",
                      scale.disputed ? "; disputed, see inspect" : "");
  }
  return text
         + hanging("  law       ", 12, fmt::format("{}: {}", config.family->id, law), style.width);
}

std::string list_ids(const EngineComparison& comparison, Agreement wanted, bool newest) {
  std::string text;
  for (const EngineValue& value : comparison.values) {
    const bool is_newest = value.rule->id.find('@') == std::string_view::npos;
    if (agreement_of(value) == wanted && is_newest == newest) {
      text += (text.empty() ? "" : ", ") + std::string(value.rule->id);
    }
  }
  return text;
}

std::string list_line(std::string_view label, const std::string& ids, const TerminalStyle& style) {
  return ids.empty() ? "" : hanging(fmt::format("  {:<10}", label), 12, ids, style.width);
}

/// The different prefill scales with the number of rules that come to each, commonest first.
std::string list_values(const EngineComparison& comparison) {
  std::vector<std::pair<double, int>> values;
  for (const EngineValue& value : comparison.values) {
    if (!value.prefill) {
      continue;
    }
    const auto known = std::find_if(values.begin(), values.end(), [&](const auto& one) {
      return engines::same_scale(one.first, *value.prefill);
    });
    if (known == values.end()) {
      values.emplace_back(*value.prefill, 1);
    } else {
      ++known->second;
    }
  }
  std::stable_sort(values.begin(), values.end(),
                   [](const auto& left, const auto& right) { return left.second > right.second; });
  std::string text;
  for (const auto& [value, count] : values) {
    text += fmt::format("{}{:.8g} by {}", text.empty() ? "" : ", ", value, count);
  }
  return text.empty() ? "none" : text;
}

std::string summary(const EngineComparison& comparison, const TerminalStyle& style) {
  const EngineCounts counts = count_engines(comparison);
  const int taken = counts.agree + counts.differ + counts.fail;
  std::string text = list_line("outliers", list_ids(comparison, Agreement::differs, true), style);
  text += list_line("older", list_ids(comparison, Agreement::differs, false), style);
  text += list_line("failing", list_ids(comparison, Agreement::fails, true), style);
  text += list_line("older", list_ids(comparison, Agreement::fails, false), style);
  text += hanging("  values    ", 12, "prefill " + list_values(comparison), style.width);
  const std::string sentence = fmt::format(
      "{} of {} rules agree with the model's own law, {} differ, {} fail{}", counts.agree, taken,
      counts.differ, counts.fail,
      counts.not_taken == 0 ? ""
                            : fmt::format("; {} {} not take this model", counts.not_taken,
                                          counts.not_taken == 1 ? "does" : "do"));
  return text + hanging("  summary   ", 12, sentence, style.width);
}

/// Rows with this agreement, each with its reason where there is one to tell.
std::string rows(const EngineComparison& comparison, const EngineTable& table,
                 Agreement agreement) {
  std::string text;
  for (const EngineValue& value : comparison.values) {
    if (agreement_of(value) == agreement) {
      text += table.row(value);
      text += agreement == Agreement::agrees ? "" : table.reason(value);
    }
  }
  return text;
}

/// Engines that do not take the model, one line a reason; many are counted.
std::string not_taken(const EngineComparison& comparison, const TerminalStyle& style) {
  std::vector<std::pair<std::string, std::vector<std::string_view>>> reasons;
  for (const EngineValue& value : comparison.values) {
    if (agreement_of(value) != Agreement::not_taken) {
      continue;
    }
    auto known = std::find_if(reasons.begin(), reasons.end(),
                              [&](const auto& one) { return one.first == value.because; });
    if (known == reasons.end()) {
      known = reasons.insert(reasons.end(), {value.because, {}});
    }
    known->second.push_back(value.rule->id);
  }
  std::string text;
  for (const auto& [reason, ids] : reasons) {
    const std::string who = ids.size() > k_most_listed ? fmt::format("{} rules", ids.size())
                                                       : fmt::format("{}", fmt::join(ids, ", "));
    text += hanging("  ", 2, fmt::format("not taken, {}: {}", escape_control(reason), who),
                    style.width);
  }
  return text;
}

std::string block(const EngineComparison& comparison, bool outliers_only,
                  const TerminalStyle& style) {
  const EngineTable table(comparison, style);
  std::string text = heading(*comparison.inspection, style) + table.header();
  if (!outliers_only) {
    text += rows(comparison, table, Agreement::agrees);
    text += not_taken(comparison, style);
  }
  text += rows(comparison, table, Agreement::fails);
  text += rows(comparison, table, Agreement::differs);
  return text + summary(comparison, style);
}

} // namespace

std::string engines_text(std::span<const EngineComparison> comparisons,
                         const TerminalStyle& style) {
  const auto judged = std::count_if(comparisons.begin(), comparisons.end(),
                                    [](const auto& one) { return !one.values.empty(); });
  std::string text;
  for (const EngineComparison& comparison : comparisons) {
    if (const model::NotMla* other = comparison.inspection->model.not_mla()) {
      text += fmt::format("{}: {}\n", escape_control(comparison.inspection->model.source),
                          escape_control(other->reason));
    } else if (!comparison.values.empty()) {
      text += (text.empty() ? "" : "\n") + block(comparison, judged > 1, style);
    }
  }
  return text;
}

} // namespace mla_scale::report
