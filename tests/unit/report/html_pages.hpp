#pragma once

#include "support/catch.hpp"
#include "support/markup.hpp"

#include <algorithm>
#include <string>

/// Everything that must not reach a page as it is: markup, quotes, entities, a terminal escape, a
/// bidirectional override, a byte that is not UTF-8.
inline const std::string k_hostile =
    "</code></style><script>alert(1)</script>\" onload=\"x' &amp; \x1B[31m \xE2\x80\xAE \xFF";

/// The same as a page shows it.
inline const std::string k_shown = "</code></style><script>alert(1)</script>\" onload=\"x' &amp; "
                                   "\\x1b[31m \\u{202e} \\xff";

/// What every page must be: well-formed, its own script alone, nothing loaded, nothing that runs.
inline Markup checked_page(const std::string& page) {
  Markup markup = parse_markup(page);
  CHECK(markup.problems == std::vector<std::string>{});
  CHECK(markup.named("script").size() == 1);
  CHECK(markup.named("style").size() == 1);
  CHECK(markup.named("h1").size() == 1);
  for (const std::string_view loading :
       {"link", "img", "iframe", "object", "embed", "base", "image", "use", "foreignObject"}) {
    CHECK(markup.named(loading).empty());
  }
  for (const MarkupElement& element : markup.elements) {
    for (const auto& [key, value] : element.attributes) {
      CAPTURE(element.name, key, value);
      CHECK(!key.starts_with("on"));
      CHECK(key != "style"); // the policy would drop it
      CHECK(key != "src");
      CHECK(value.find("://") == std::string::npos);
      if (key == "href") {
        CHECK(value.starts_with("#"));
      }
      if (key == "d" || key == "x" || key == "y" || key == "cx" || key == "cy") {
        CHECK(value.find("nan") == std::string::npos);
        CHECK(value.find("inf") == std::string::npos);
      }
    }
  }
  return markup;
}

/// True when an element of this name says exactly this.
inline bool says(const Markup& markup, std::string_view element, std::string_view text) {
  const auto all = markup.named(element);
  return std::any_of(all.begin(), all.end(),
                     [&](const MarkupElement& one) { return one.text == text; });
}
