#include <mla_scale/report/html/axis.hpp>
#include <mla_scale/report/html/figure.hpp>
#include <mla_scale/report/html/plots.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::report::html {
namespace {

using compare::GroupError;
using compare::TensorComparison;

constexpr PlotArea k_error_plot = {
    .width = 520, .height = 214, .left = 52, .right = 508, .top = 18, .bottom = 176};

/// Powers of ten around all errors and floors above zero; nothing when there are none.
std::optional<Axis> vertical(const std::vector<GroupError>& groups) {
  double low = HUGE_VAL;
  double high = 0.0;
  for (const GroupError& group : groups) {
    for (const double value : {group.relative_rms, group.floor}) {
      if (value > 0.0 && std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
  }
  if (!(high > 0.0)) {
    return std::nullopt;
  }
  const double margin = 1e-9; // so that a value on a power of ten does not open another decade
  Axis axis{std::pow(10.0, std::floor(std::log10(low) + margin)),
            std::pow(10.0, std::ceil(std::log10(high) - margin)), k_error_plot.bottom,
            k_error_plot.top, true};
  axis.high = std::max(axis.high, 10.0 * axis.low);
  return axis;
}

std::string range_of(const GroupError& group, Groups groups) {
  return groups == Groups::heads     ? fmt::format("head {}", group.first)
         : group.first == group.last ? fmt::format("position {}", group.first)
                                     : fmt::format("positions {} to {}", group.first, group.last);
}

std::string describe(const std::vector<GroupError>& groups, Groups what) {
  const auto bad = std::count_if(groups.begin(), groups.end(), [](const auto& g) { return g.bad; });
  const auto worst =
      std::max_element(groups.begin(), groups.end(), [](const GroupError& a, const GroupError& b) {
        return a.floor_ratio < b.floor_ratio;
      });
  return fmt::format("{} of {} exceed the floor; the worst is {} with an error of {:.3g} where a "
                     "healthy kernel has {:.3g}",
                     bad, groups.size(), range_of(*worst, what), worst->relative_rms, worst->floor);
}

} // namespace

std::string error_plot(const TensorComparison& tensor, Groups groups) {
  const std::vector<GroupError>& all =
      groups == Groups::heads ? tensor.by_head : tensor.by_position;
  const std::optional<Axis> axis = vertical(all);
  if (!axis) {
    return {};
  }
  const double step = (k_error_plot.right - k_error_plot.left) / static_cast<double>(all.size());
  std::string floor_line;
  std::string dots;
  std::string labels;
  std::size_t digits = 1;
  for (const GroupError& group : all) {
    digits = std::max(digits, std::to_string(group.first).size());
  }
  const std::size_t stride = label_stride(digits, step);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const GroupError& group = all[i];
    const double left = k_error_plot.left + static_cast<double>(i) * step;
    const double middle = left + step / 2;
    if (group.floor > 0.0) {
      floor_line += fmt::format("M{:.1f} {:.1f}H{:.1f}", left, axis->at(group.floor), left + step);
    }
    const std::string title = fmt::format(
        "<title>{}: error {:.3g}, floor {:.3g}{}</title>", range_of(group, groups),
        group.relative_rms, group.floor,
        group.not_finite > 0 ? fmt::format(", {} rows not finite", group.not_finite) : "");
    if (group.relative_rms > 0.0 && std::isfinite(group.relative_rms)) {
      const double y = axis->at(group.relative_rms);
      // Groups above the floor differ in shape too.
      dots += group.bad ? fmt::format("<rect class=\"outlier\" x=\"{:.1f}\" y=\"{:.1f}\" "
                                      "width=\"7\" height=\"7\">{}</rect>\n",
                                      middle - 3.5, y - 3.5, title)
                        : fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\">"
                                      "{}</circle>\n",
                                      middle, y, title);
    }
    if (group.not_finite > 0) {
      dots += fmt::format("<text class=\"strong\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">!"
                          "{}</text>\n",
                          middle, k_error_plot.top - 6, title);
    }
    if (i % stride == 0) {
      labels += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                            middle, k_error_plot.bottom + 16, group.first);
    }
  }
  const std::string name = xml_text(tensor.name);
  const std::string_view what = groups == Groups::heads ? "head" : "position";
  const std::string drawing = fmt::format(
      "{}<path class=\"axis\" d=\"M{} {}H{}\"/>\n<path class=\"expected\" d=\"{}\"/>\n{}{}"
      "<text class=\"strong\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
      grid(*axis, k_error_plot.left, k_error_plot.right, tick_label), k_error_plot.left,
      k_error_plot.bottom, k_error_plot.right, floor_line, dots, labels,
      (k_error_plot.left + k_error_plot.right) / 2, k_error_plot.height - 6,
      groups == Groups::heads ? "head" : "first position of each range");
  return figure({fmt::format("{}: {} error by {}", name,
                             tensor.name == "lse" ? "absolute" : "relative", what),
                 fmt::format("{}-{}", what, name), fmt::format("Error of {} by {}", name, what),
                 describe(all, groups), k_error_plot.width, k_error_plot.height, drawing});
}

} // namespace mla_scale::report::html
