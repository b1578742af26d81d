#pragma once

#include <string>

namespace mla_scale::report::html {

/// An SVG drawing with what a reader and a screen reader are told about it; all but sizes and
/// `css_class` are markup.
struct Figure {
  std::string caption;
  std::string id; ///< unique on the page
  std::string title;
  std::string description;
  double width = 0.0;
  double height = 0.0;
  std::string drawing;
  std::string css_class = {};
};

/// The figure, which scrolls where it is wider than the page.
[[nodiscard]] std::string figure(const Figure& what);

} // namespace mla_scale::report::html
