#include <mla_scale/report/html/markup.hpp>

#include <fmt/format.h>

namespace mla_scale::report::html {

std::string code(std::string_view text) {
  return "<code>" + xml_text(text) + "</code>";
}

std::string paragraph(std::string_view markup, std::string_view css_class) {
  return css_class.empty() ? fmt::format("<p>{}</p>\n", markup)
                           : fmt::format("<p class=\"{}\">{}</p>\n", css_class, markup);
}

std::string badge(std::string_view css_class, std::string_view word) {
  return fmt::format("<span class=\"badge {}\">{}</span>", css_class, word);
}

std::string verdict(std::string_view css_class, std::string_view word, std::string_view headline) {
  return fmt::format("<p>{}</p>\n<h1>{}</h1>\n", badge(css_class, word), headline);
}

std::string section(std::string_view id, std::string_view title, std::string_view content) {
  return fmt::format("<section aria-labelledby=\"{0}\">\n<h2 id=\"{0}\">{1}</h2>\n{2}</section>\n",
                     id, title, content);
}

std::string details(std::string_view summary, std::string_view content) {
  return fmt::format("<details>\n<summary>{}</summary>\n{}</details>\n", summary, content);
}

std::string bullets(const std::vector<std::string>& texts) {
  std::string items;
  for (const std::string& text : texts) {
    items += "<li>" + xml_text(text) + "</li>\n";
  }
  return items.empty() ? "" : "<ul>\n" + items + "</ul>\n";
}

std::string definitions(const std::vector<std::pair<std::string_view, std::string>>& entries,
                        std::string_view css_class) {
  std::string items;
  for (const auto& [name, markup] : entries) {
    if (!markup.empty()) {
      items += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", name, markup);
    }
  }
  return items.empty() ? "" : fmt::format("<dl class=\"{}\">\n{}</dl>\n", css_class, items);
}

std::string command(std::string_view id, std::string_view text) {
  return fmt::format("<pre id=\"{0}\"><code>{1}</code></pre>\n"
                     "<p class=\"action\"><button type=\"button\" class=\"action\" "
                     "data-copy=\"{0}\" hidden=\"\">Copy</button> "
                     "<span role=\"status\" class=\"muted\"></span></p>\n",
                     id, xml_text(text));
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

} // namespace mla_scale::report::html
