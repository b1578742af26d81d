#include <mla_scale/report/explain_text.hpp>

#include <algorithm>

namespace mla_scale::report {
namespace {

constexpr int k_section_columns = 18;

std::string padded(std::string_view text, int width) {
  const int missing = std::max(1, width - columns(text));
  return std::string(text) + std::string(static_cast<std::size_t>(missing), ' ');
}

} // namespace

std::string explain_text(std::span<const explain::Entry* const> entries,
                         const TerminalStyle& style) {
  std::string text;
  for (const explain::Entry* entry : entries) {
    text += text.empty() ? "" : "\n";
    text += hanging(style.bold(entry->id) + "  ", columns(entry->id) + 2,
                    entry->kind + ": " + entry->title, style.width);
    for (const explain::Section& section : entry->sections) {
      const std::string head = "  " + padded(section.label, k_section_columns - 2);
      text += hanging(style.dim(head), columns(head), section.text, style.width);
    }
  }
  return text;
}

std::string explain_list_text(std::span<const explain::Entry* const> entries,
                              const TerminalStyle& style) {
  int widest = 0;
  for (const explain::Entry* entry : entries) {
    widest = std::max(widest, columns(entry->id));
  }
  std::string text;
  std::string kind;
  for (const explain::Entry* entry : entries) {
    if (entry->kind != kind) {
      text += text.empty() ? "" : "\n";
      kind = entry->kind;
      text += style.bold(kind) + "\n";
    }
    const std::string head = "  " + padded(entry->id, widest + 2);
    text += hanging(head, columns(head), entry->title, style.width);
  }
  return text;
}

} // namespace mla_scale::report
