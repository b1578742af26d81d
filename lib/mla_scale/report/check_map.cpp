#include <mla_scale/report/check_report.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::report {
namespace {

constexpr int k_label_width = 12;

struct Shade {
  double above; ///< floors
  char letter;
};

constexpr Shade k_shades[] = {{30.0, '#'}, {4.0, 'x'}, {1.6, '+'}};

char letter_of(double ratio) {
  if (ratio < 0.0) {
    return ' ';
  }
  if (!std::isfinite(ratio)) {
    return '!';
  }
  for (const Shade& shade : k_shades) {
    if (ratio > shade.above) {
      return shade.letter;
    }
  }
  return '.';
}

std::string paint(char letter, int width, const TerminalStyle& style) {
  const std::string text = fmt::format("{:>{}}", letter, width);
  switch (letter) {
  case '.':
    return style.good(text);
  case '+':
    return style.warn(text);
  case ' ':
    return text;
  default:
    return style.bad(text);
  }
}

} // namespace

std::string check_map(const compare::TensorComparison& tensor, int lines,
                      const TerminalStyle& style) {
  const std::size_t buckets = tensor.by_position.size();
  const std::size_t heads = tensor.by_head.size();
  if (buckets == 0 || heads == 0 || tensor.map.size() != buckets * heads) {
    return "";
  }
  std::size_t digits = 1;
  for (const compare::GroupError& group : tensor.by_position) {
    digits = std::max(digits, std::to_string(group.first).size());
  }
  const int room = (style.width - k_label_width) / static_cast<int>(buckets);
  const int cell = std::clamp(room, 1, static_cast<int>(digits) + 1);
  // Each number ends above its column; one that would touch the number before it is left out.
  std::string header = fmt::format("    {:<{}}", "position", k_label_width - 4);
  for (std::size_t b = 0; b < buckets; ++b) {
    const std::string number = std::to_string(tensor.by_position[b].first);
    const std::size_t end = k_label_width + (b + 1) * static_cast<std::size_t>(cell);
    if (header.size() + number.size() + (b == 0 ? 0 : 1) <= end) {
      header.resize(end - number.size(), ' ');
      header += number;
    }
  }
  std::string text = style.dim(header) + "\n";
  const std::size_t a_line =
      (heads + static_cast<std::size_t>(lines) - 1) / static_cast<std::size_t>(lines);
  for (std::size_t first = 0; first < heads; first += a_line) {
    const std::size_t last = std::min(heads, first + a_line);
    const std::string name = last - first == 1 ? fmt::format("head {}", tensor.by_head[first].first)
                                               : fmt::format("{}-{}", tensor.by_head[first].first,
                                                             tensor.by_head[last - 1].first);
    text += style.dim(fmt::format("    {:<{}}", name, k_label_width - 4));
    for (std::size_t b = 0; b < buckets; ++b) {
      double worst = -1.0;
      for (std::size_t h = first; h < last; ++h) {
        worst = std::max(worst, tensor.map[h * buckets + b]);
      }
      text += paint(letter_of(worst), cell, style);
    }
    text += "\n";
  }
  return text;
}

} // namespace mla_scale::report
