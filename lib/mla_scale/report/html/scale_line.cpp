#include <mla_scale/core/text.hpp>
#include <mla_scale/report/html/axis.hpp>
#include <mla_scale/report/html/figure.hpp>
#include <mla_scale/report/html/plots.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::report::html {
namespace {

constexpr PlotArea k_scale_line = {.width = 1000, .height = 82, .left = 20, .right = 980};
constexpr double k_line = 52.0;
constexpr double k_widen = 1.25;    // beyond the outermost scales
constexpr double k_farthest = 20.0; // times the expected: farther rivals are only in the table

std::string marker(double x, double y, std::string_view css_class, std::string_view label) {
  // A label near an end stays within the drawing.
  const std::string_view anchor = x > k_scale_line.right - 90  ? "end"
                                  : x < k_scale_line.left + 90 ? "start"
                                                               : "middle";
  return fmt::format(
      "<text class=\"{}-label\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n", css_class, x,
      y, anchor, xml_text(label));
}

} // namespace

std::string scale_line(const std::optional<compare::ScaleFit>& fit, double expected,
                       const std::vector<NamedScale>& rivals) {
  if (!(expected > 0.0) || !std::isfinite(expected)) {
    return {};
  }
  const bool measured = fit && fit->softmax_scale > expected / k_farthest
                        && fit->softmax_scale < expected * k_farthest;
  double low = measured ? std::min(expected, fit->softmax_scale) : expected;
  double high = measured ? std::max(expected, fit->softmax_scale) : expected;
  std::vector<NamedScale> drawn;
  for (const NamedScale& rival : rivals) {
    if (rival.softmax_scale > expected / k_farthest
        && rival.softmax_scale < expected * k_farthest) {
      drawn.push_back(rival);
      low = std::min(low, rival.softmax_scale);
      high = std::max(high, rival.softmax_scale);
    }
  }
  if (drawn.empty()) {
    return {};
  }
  const Axis axis{low / k_widen, high * k_widen, k_scale_line.left, k_scale_line.right, true};
  std::string text;
  constexpr int k_ticks = 8;
  for (const double tick : ticks(axis, k_ticks)) {
    text += fmt::format("<path class=\"axis\" d=\"M{0:.1f} {1}v4\"/><text x=\"{0:.1f}\" y=\"{2}\" "
                        "text-anchor=\"middle\">{3}</text>\n",
                        axis.at(tick), k_line, k_line + 18, tick_label(tick));
  }
  for (const NamedScale& rival : drawn) {
    text += fmt::format("<path class=\"tick\" d=\"M{:.1f} {}V{}\"><title>{}: {}</title></path>\n",
                        axis.at(rival.softmax_scale), k_line - 12, k_line, xml_text(rival.name),
                        format_number(rival.softmax_scale));
  }
  text += fmt::format("<path class=\"expected\" d=\"M{:.1f} {}V{}\"/>\n", axis.at(expected),
                      k_line - 22, k_line);
  text += marker(axis.at(expected), k_line - 40, "expected", "expected");
  if (measured) {
    text += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{}\" r=\"5\"/>\n",
                        axis.at(fit->softmax_scale), k_line);
    text += marker(axis.at(fit->softmax_scale), k_line - 26, "measured", "measured");
  }
  return figure(
      {"Scales that this config's numbers can produce (logarithmic): each short mark is a "
       "candidate",
       "line", "Expected, measured and candidate softmax scales",
       fmt::format("{} candidates from {:.4g} to {:.4g}; expected {}{}", drawn.size(), low, high,
                   format_number(expected),
                   measured ? fmt::format(", measured {:.9g}", fit->softmax_scale) : ""),
       k_scale_line.width, k_scale_line.height,
       fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>\n{}", k_scale_line.left, k_line,
                   k_scale_line.right, text),
       "wide"});
}

} // namespace mla_scale::report::html
