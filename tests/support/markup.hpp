#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

/// An element of a page as a strict reader sees it.
struct MarkupElement {
  std::string name;
  std::map<std::string, std::string> attributes; ///< unescaped
  std::string text;                              ///< unescaped, of the element and all inside
};

/// A page, and what is wrong with it: tags that do not nest, attributes without double quotes or
/// twice, unknown entities, bare '<' or '&', control characters, an id twice, or a reference
/// (href="#", aria-labelledby, for, fill="url(#)", data-copy) to an id that is not there. Reads the
/// XML syntax of HTML: every element is closed; style and script are raw text.
struct Markup {
  std::vector<MarkupElement> elements; ///< in the order of their start tags
  std::vector<std::string> problems;

  [[nodiscard]] std::vector<MarkupElement> named(std::string_view name) const;
};

Markup parse_markup(std::string_view page);
