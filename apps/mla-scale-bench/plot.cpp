#include "output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace {

constexpr double k_width = 640;
constexpr double k_height = 400;
constexpr double k_left = 70;
constexpr double k_right = 150;
constexpr double k_top = 20;
constexpr double k_bottom = 50;
constexpr std::string_view k_colors[] = {"#1b6ca8", "#c8553d", "#588157",
                                         "#8e5aa8", "#b08900", "#444444"};

/// A logarithmic axis from `least` to `most`, drawn from `begin` to `end`.
struct Axis {
  double least;
  double most;
  double begin;
  double end;

  [[nodiscard]] double at(double value) const {
    return begin + (end - begin) * std::log(value / least) / std::log(most / least);
  }
};

std::string line(double x1, double y1, double x2, double y2, std::string_view color) {
  return fmt::format("<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' stroke='{}'/>\n", x1,
                     y1, x2, y2, color);
}

std::string label(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}'>{}</text>\n", x, y, anchor,
                     text);
}

} // namespace

std::string svg_of(const std::vector<CostPoint>& costs) {
  if (costs.empty()) {
    return {};
  }
  const auto [shortest, longest] = std::minmax_element(
      costs.begin(), costs.end(), [](const auto& a, const auto& b) { return a.length < b.length; });
  const auto [fastest, slowest] =
      std::minmax_element(costs.begin(), costs.end(),
                          [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  const Axis x{
      static_cast<double>(shortest->length),
      std::max(static_cast<double>(longest->length), 2.0 * static_cast<double>(shortest->length)),
      k_left, k_width - k_right};
  const Axis y{std::pow(10.0, std::floor(std::log10(fastest->seconds))),
               std::pow(10.0, std::floor(std::log10(slowest->seconds)) + 1), k_height - k_bottom,
               k_top};

  std::string svg = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {} {}' font-family='sans-serif' "
      "font-size='12'>\n<rect width='100%' height='100%' fill='white'/>\n",
      k_width, k_height);
  for (double s = x.least; s <= x.most; s *= 2) {
    svg += line(x.at(s), y.begin, x.at(s), y.end, "#e0e0e0");
    svg += label(x.at(s), y.begin + 18, "middle", fmt::format("{:.0f}", s));
  }
  for (double seconds = y.least; seconds <= y.most * 1.001; seconds *= 10) {
    svg += line(x.begin, y.at(seconds), x.end, y.at(seconds), "#e0e0e0");
    svg += label(x.begin - 8, y.at(seconds) + 4, "end", fmt::format("{:g} s", seconds));
  }
  svg += label((x.begin + x.end) / 2, k_height - 12, "middle", "sequence length S");

  std::map<std::pair<std::int64_t, unsigned>, std::vector<const CostPoint*>> lines;
  for (const CostPoint& cost : costs) {
    lines[{cost.heads, cost.threads}].push_back(&cost);
  }
  std::size_t index = 0;
  for (const auto& [key, points] : lines) {
    const std::string_view color = k_colors[index % std::size(k_colors)];
    std::string path;
    for (const CostPoint* point : points) {
      path += fmt::format("{:.1f},{:.1f} ", x.at(static_cast<double>(point->length)),
                          y.at(point->seconds));
    }
    svg += fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='2'/>\n", path,
                       color);
    const double row = k_top + 16.0 * static_cast<double>(index + 1);
    svg += line(x.end + 12, row - 4, x.end + 32, row - 4, color);
    svg +=
        label(x.end + 38, row, "start",
              fmt::format("H={}, {} thread{}", key.first, key.second, key.second == 1 ? "" : "s"));
    ++index;
  }
  return svg + "</svg>\n";
}
