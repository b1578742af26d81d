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

using compare::HeadScale;
using compare::ScaleFit;

constexpr PlotArea k_scale_plot = {
    .width = 520, .height = 234, .left = 84, .right = 508, .top = 12, .bottom = 196};
constexpr double k_margin = 0.12;    // of the range, above and below
constexpr double k_too_close = 0.04; // of the range: heads this near each other need a second look
constexpr double k_least_range = 1e-9; // relative

struct Range {
  double low = HUGE_VAL;
  double high = -HUGE_VAL;

  void add(double value) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  [[nodiscard]] double size() const { return high - low; }
};

/// Heads with their errors; an error larger than all heads lie apart is cut, so that a head that
/// tells little does not hide what the others tell.
Range range_of_heads(const ScaleFit& fit) {
  Range middle;
  std::vector<double> errors;
  for (const HeadScale& head : fit.by_head) {
    middle.add(head.softmax_scale);
    errors.push_back(head.standard_error);
  }
  std::nth_element(errors.begin(), errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2),
                   errors.end());
  const double usual = errors[errors.size() / 2];
  const double longest = std::max(middle.size(), 3.0 * usual);
  Range range = middle;
  for (const HeadScale& head : fit.by_head) {
    const double error = std::min(head.standard_error, longest);
    range.add(head.softmax_scale - error);
    range.add(head.softmax_scale + error);
  }
  return range;
}

struct Line {
  std::string_view css_class;
  std::string label; ///< text
  double value = 0.0;
};

std::string heads(const ScaleFit& fit, const Axis& axis) {
  const double step =
      (k_scale_plot.right - k_scale_plot.left) / static_cast<double>(fit.by_head.size());
  const double radius = std::clamp(step / 3, 2.0, 4.0);
  const std::size_t digits = std::to_string(fit.by_head.back().head).size();
  const std::size_t stride = label_stride(digits, step);
  const double thickness = std::clamp(radius / 2, 0.75, 1.5);
  std::string bars;
  std::string dots;
  std::string labels;
  for (std::size_t i = 0; i < fit.by_head.size(); ++i) {
    const HeadScale& head = fit.by_head[i];
    const double x = k_scale_plot.left + (static_cast<double>(i) + 0.5) * step;
    const double cap = std::min(3.0, step / 4);
    const double low = axis.at(head.softmax_scale - head.standard_error);
    const double high = axis.at(head.softmax_scale + head.standard_error);
    bars += fmt::format("M{0:.1f} {1:.2f}V{2:.2f}M{3:.1f} {1:.2f}H{4:.1f}M{3:.1f} {2:.2f}H{4:.1f}",
                        x, low, high, x - cap, x + cap);
    dots += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.2f}\" r=\"{:.1f}\">"
                        "<title>head {}: {:.9g} ± {:.1g}{}</title></circle>\n",
                        head.converged ? "dot" : "open", x, axis.at(head.softmax_scale), radius,
                        head.head, head.softmax_scale, head.standard_error,
                        head.converged ? "" : ", not converged");
    if (i % stride == 0) {
      labels += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x,
                            k_scale_plot.bottom + 16, head.head);
    }
  }
  // Paler and below all dots, which stay visible where many heads stand close.
  return fmt::format("<path class=\"error\" stroke-width=\"{:.2f}\" d=\"{}\"/>\n", thickness, bars)
         + dots + labels;
}

std::string drawing(const ScaleFit& fit, const Range& range, const std::vector<Line>& lines,
                    std::string_view id, std::string_view caption, std::string_view description) {
  double size = std::max(range.size(), k_least_range * std::abs(range.high));
  size = size > 0.0 ? size : 1.0;
  const Axis axis{range.low - k_margin * size, range.high + k_margin * size, k_scale_plot.bottom,
                  k_scale_plot.top, false};
  // Far from zero and close together: then ticks are distances from the measured scale.
  const bool relative = size < 1e-2 * std::abs(fit.softmax_scale);
  const Axis shifted{axis.low / fit.softmax_scale - 1, axis.high / fit.softmax_scale - 1,
                     k_scale_plot.bottom, k_scale_plot.top, false};
  std::string text =
      grid(relative ? shifted : axis, k_scale_plot.left, k_scale_plot.right, [&](double tick) {
        return relative && tick != 0.0 ? fmt::format("{:+.3g}", tick) : tick_label(tick);
      });
  std::vector<double> taken;
  for (const Line& line : lines) {
    if (!axis.holds(line.value)) {
      continue;
    }
    double y = axis.at(line.value) - 4;
    while (
        std::any_of(taken.begin(), taken.end(), [&](double o) { return std::abs(o - y) < 12; })) {
      y += 14;
    }
    taken.push_back(y);
    text += fmt::format("<path class=\"{0}\" d=\"M{1} {2:.2f}H{3}\"/>\n", line.css_class,
                        k_scale_plot.left, axis.at(line.value), k_scale_plot.right);
  }
  text += heads(fit, axis);
  std::size_t i = 0;
  for (const Line& line : lines) {
    if (axis.holds(line.value)) {
      text += fmt::format("<text class=\"{}-label\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}"
                          "</text>\n",
                          line.css_class, k_scale_plot.right, taken[i++], xml_text(line.label));
    }
  }
  const std::string drawing =
      fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>\n{}"
                  "<text class=\"strong\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">head</text>\n",
                  k_scale_plot.left, k_scale_plot.bottom, k_scale_plot.right, text,
                  (k_scale_plot.left + k_scale_plot.right) / 2, k_scale_plot.height - 6);
  return figure({std::string(caption), std::string(id), "Measured softmax scale by head",
                 std::string(description), k_scale_plot.width, k_scale_plot.height, drawing});
}

} // namespace

std::string scale_plot(const ScaleFit& whole_fit, double expected,
                       const std::optional<NamedScale>& named) {
  ScaleFit fit = whole_fit;
  std::erase_if(fit.by_head, [](const HeadScale& head) {
    return !std::isfinite(head.softmax_scale) || std::isnan(head.standard_error);
  });
  if (fit.by_head.empty()) {
    return {};
  }
  const Range near = range_of_heads(fit);
  const std::string description = fmt::format(
      "Heads lie between {:.7g} and {:.7g}; expected {}, measured over all heads {:.9g} ± {:.1g}",
      near.low, near.high, format_number(expected), fit.softmax_scale, fit.standard_error);
  const std::vector<Line> all = {
      {"expected", "expected", expected},
      {"candidate", named ? named->name : "", named ? named->softmax_scale : std::nan("")}};
  Range whole = near;
  whole.add(expected);
  if (!(near.size() < k_too_close * whole.size())) {
    return drawing(fit, whole, all, "scale", "Measured scale by head, bars of one standard error",
                   description);
  }
  return drawing(fit, whole, all, "scale", "Measured scale by head", description)
         + drawing(fit, near, {all[1], {"measured", "", fit.softmax_scale}}, "scale-near",
                   "From near: relative to the measured scale, bars of one standard error",
                   description);
}

} // namespace mla_scale::report::html
