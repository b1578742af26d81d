#pragma once

#include <string>
#include <string_view>

namespace mla_scale::report::html {

/// A whole document that needs nothing else: style and script are inside, and a
/// Content-Security-Policy lets nothing but these two run. `title` is text, `body` markup.
[[nodiscard]] std::string page(std::string_view title, std::string_view body);

/// The contents of page.css and page.js.
[[nodiscard]] std::string_view style_sheet();
[[nodiscard]] std::string_view script();
/// Their SHA-256 in base64.
[[nodiscard]] std::string_view style_digest();
[[nodiscard]] std::string_view script_digest();

} // namespace mla_scale::report::html
