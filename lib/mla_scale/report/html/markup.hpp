#pragma once

#include <mla_scale/report/xml.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mla_scale::report::html {

// All take and return markup, unless a parameter is said to be text. What comes from a file or a
// result goes through xml_text() exactly once.

/// Text in the type of code.
[[nodiscard]] std::string code(std::string_view text);

/// A paragraph.
[[nodiscard]] std::string paragraph(std::string_view markup, std::string_view css_class = {});

/// A word on the colour of its class: good, warn, bad, muted.
[[nodiscard]] std::string badge(std::string_view css_class, std::string_view word);

/// What a page begins with: the verdict as a badge, and as a sentence in the first heading.
[[nodiscard]] std::string verdict(std::string_view css_class, std::string_view word,
                                  std::string_view headline);

/// A heading of the second level with what belongs to it; `id` can be linked to.
[[nodiscard]] std::string section(std::string_view id, std::string_view title,
                                  std::string_view content);

/// Content that opens on a click, and in print.
[[nodiscard]] std::string details(std::string_view summary, std::string_view content);

/// A list of texts; empty for none.
[[nodiscard]] std::string bullets(const std::vector<std::string>& texts);

/// Names with what they stand for; pairs whose second is empty are left out.
[[nodiscard]] std::string
definitions(const std::vector<std::pair<std::string_view, std::string>>& entries,
            std::string_view css_class = "list");

/// A command with a button that copies it. `id` must be unique on the page.
[[nodiscard]] std::string command(std::string_view id, std::string_view text);

/// "1 head", "2 heads".
[[nodiscard]] std::string counted(std::size_t count, std::string_view what);

} // namespace mla_scale::report::html
