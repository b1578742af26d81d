#include <mla_scale/report/html/figure.hpp>
#include <mla_scale/report/html/plots.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace mla_scale::report::html {
namespace {

using compare::GroupError;
using compare::TensorComparison;

struct Shade {
  double up_to; ///< floors
  std::string_view meaning;
};

/// Classes c0 to c6 of the style sheet: from the colour of the page to the far end of it, so that
/// they tell by lightness alone.
constexpr Shade k_shades[] = {{1.6, "at the floor"}, {4, "to 4"},     {10, "to 10"},
                              {30, "to 30"},         {100, "to 100"}, {1000, "to 1000"},
                              {HUGE_VAL, "above"}};

constexpr int k_label_width = 44;
constexpr int k_drawing_width = 520;
constexpr int k_room_above = 22;
constexpr int k_room_below = 24;

std::size_t shade_of(double ratio) {
  const auto* shade = std::find_if(std::begin(k_shades), std::end(k_shades),
                                   [&](const Shade& one) { return ratio <= one.up_to; });
  return static_cast<std::size_t>(shade - std::begin(k_shades));
}

double cell_height(std::size_t heads) {
  constexpr std::size_t k_few = 8;
  constexpr std::size_t k_some = 32;
  return heads <= k_few    ? 20
         : heads <= k_some ? 11
                           : std::max(3.0, 352.0 / static_cast<double>(heads));
}

std::string positions(const GroupError& group) {
  return group.first == group.last ? fmt::format("position {}", group.first)
                                   : fmt::format("positions {} to {}", group.first, group.last);
}

/// Every how many labels fit when each needs `room`.
std::size_t stride_of(double cell, double room) {
  return static_cast<std::size_t>(std::max(1.0, std::ceil(room / cell)));
}

std::string describe(const TensorComparison& tensor) {
  std::size_t bad = 0;
  double worst = 0.0;
  std::size_t at = 0;
  bool not_finite = false;
  for (std::size_t i = 0; i < tensor.map.size(); ++i) {
    not_finite = not_finite || std::isinf(tensor.map[i]) || std::isnan(tensor.map[i]);
    bad += tensor.map[i] > k_shades[0].up_to ? 1U : 0U;
    if (tensor.map[i] > worst) {
      worst = tensor.map[i];
      at = i;
    }
  }
  const std::size_t buckets = tensor.by_position.size();
  std::string text =
      fmt::format("{} heads against {} position ranges; {} of {} cells are above {} floors",
                  tensor.by_head.size(), buckets, bad, tensor.map.size(), k_shades[0].up_to);
  if (not_finite) {
    return text + "; some hold NaN or infinity";
  }
  return text
         + fmt::format("; the largest is {:.3g} floors, at head {}, {}", worst,
                       tensor.by_head[at / buckets].first,
                       positions(tensor.by_position[at % buckets]));
}

} // namespace

std::string error_map_legend() {
  std::string items;
  for (std::size_t i = 0; i < std::size(k_shades); ++i) {
    items += fmt::format("<li><svg viewBox=\"0 0 16 12\" aria-hidden=\"true\"><rect class=\"c{}\" "
                         "width=\"16\" height=\"12\"/></svg>{}</li>\n",
                         i, k_shades[i].meaning);
  }
  items += "<li><svg viewBox=\"0 0 16 12\" aria-hidden=\"true\"><path class=\"hatch\" d=\"M0 12L12 "
           "0M4 12L16 0M0 4L4 0M12 12L16 8\"/></svg>not finite</li>\n";
  return fmt::format("<ul class=\"legend\" aria-label=\"Error in floors\">\n{}</ul>\n", items);
}

std::string error_map(const TensorComparison& tensor) {
  const std::size_t buckets = tensor.by_position.size();
  const std::size_t heads = tensor.by_head.size();
  if (buckets == 0 || heads == 0 || tensor.map.size() != buckets * heads) {
    return {};
  }
  const double height = cell_height(heads);
  const double width =
      std::min(30.0, (k_drawing_width - k_label_width) / static_cast<double>(buckets));
  const double gap = height >= 10 ? 1.0 : 0.0;
  std::string cells;
  std::string labels;
  const std::size_t head_stride = stride_of(height, 11.0);
  for (std::size_t h = 0; h < heads; ++h) {
    const double y = k_room_above + static_cast<double>(h) * height;
    if (h % head_stride == 0) {
      labels += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                            k_label_width - 6, y + height / 2 + 4, tensor.by_head[h].first);
    }
    for (std::size_t b = 0; b < buckets; ++b) {
      const double ratio = tensor.map[h * buckets + b];
      if (ratio < 0.0) {
        continue;
      }
      const bool finite = std::isfinite(ratio);
      cells += fmt::format(
          "<rect class=\"{}\"{} x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\">"
          "<title>head {}, {}: {}</title></rect>\n",
          finite ? fmt::format("c{}", shade_of(ratio)) : "hatched",
          finite ? "" : fmt::format(" fill=\"url(#hatch-{})\"", xml_text(tensor.name)),
          k_label_width + static_cast<double>(b) * width, y, width - gap, height - gap,
          tensor.by_head[h].first, positions(tensor.by_position[b]),
          finite ? fmt::format("{:.3g} floors", ratio) : "not finite");
    }
  }
  std::size_t digits = 1;
  for (const GroupError& group : tensor.by_position) {
    digits = std::max(digits, std::to_string(group.first).size());
  }
  const std::size_t stride = stride_of(width, 7.0 * static_cast<double>(digits) + 4.0);
  const double bottom = k_room_above + static_cast<double>(heads) * height;
  for (std::size_t b = 0; b < buckets; b += stride) {
    labels += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                          k_label_width + static_cast<double>(b) * width, bottom + 14,
                          tensor.by_position[b].first);
  }
  const std::string name = xml_text(tensor.name);
  const std::string drawing = fmt::format(
      "<defs><pattern id=\"hatch-{}\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
      "patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V5\"/></pattern></defs>\n"
      "<text class=\"strong\" x=\"0\" y=\"12\">head</text>\n{}{}",
      name, cells, labels);
  return figure({name + ": heads down, positions across", "map-" + name,
                 fmt::format("Error of {} by head and position", name), describe(tensor),
                 k_drawing_width, bottom + k_room_below, drawing});
}

} // namespace mla_scale::report::html
