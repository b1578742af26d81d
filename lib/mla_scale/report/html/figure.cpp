#include <mla_scale/report/html/figure.hpp>

#include <fmt/format.h>

namespace mla_scale::report::html {

std::string figure(const Figure& what) {
  return fmt::format("<figure>\n<figcaption>{0}</figcaption>\n<div class=\"scroll\">"
                     "<svg{1} viewBox=\"0 0 {2:.0f} {3:.0f}\" role=\"img\" "
                     "aria-labelledby=\"{4}-title {4}-text\">\n"
                     "<title id=\"{4}-title\">{5}</title>\n<desc id=\"{4}-text\">{6}</desc>\n{7}"
                     "</svg></div>\n</figure>\n",
                     what.caption,
                     what.css_class.empty() ? "" : fmt::format(" class=\"{}\"", what.css_class),
                     what.width, what.height, what.id, what.title, what.description, what.drawing);
}

} // namespace mla_scale::report::html
