#include <mla_scale/report/style.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::report {

int columns(std::string_view text) {
  int count = 0;
  for (const char c : text) {
    count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  }
  return count;
}

std::string hanging(std::string_view head, int head_columns, std::string_view text, int width) {
  constexpr int k_narrowest =
      24; // with less room behind its head, text starts on a line of its own
  constexpr int k_below = 6;
  const bool below = width - head_columns < k_narrowest && head_columns > k_below;
  const int first = below ? k_below : head_columns;
  const int room = std::max(width - first, k_narrowest);
  const std::string indent(static_cast<std::size_t>(first), ' ');
  std::string wrapped(head);
  if (below && !text.empty()) {
    wrapped.erase(wrapped.find_last_not_of(' ') + 1);
    wrapped += "\n" + indent;
  }
  int column = 0;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    const int size = columns(word);
    if (column > 0 && column + 1 + size > room) {
      wrapped += "\n" + indent;
      column = 0;
    } else if (column > 0) {
      wrapped += ' ';
      ++column;
    }
    wrapped += word;
    column += size;
  }
  return wrapped + "\n";
}

std::string labelled(std::string_view label, std::string_view text, const TerminalStyle& style) {
  return hanging("  " + style.dim(fmt::format("{:<{}}", label, k_label_columns)),
                 k_label_columns + 2, text, style.width);
}

} // namespace mla_scale::report
