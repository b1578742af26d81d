#pragma once

#include <mla_scale/report/style.hpp>

#include <string_view>

namespace mla_scale::cli {

using report::TerminalStyle;

/// How to write text to standard output. `color` is auto, always or never; auto means a terminal
/// without NO_COLOR. The width is COLUMNS, the terminal's, or 80.
[[nodiscard]] TerminalStyle stdout_style(std::string_view color);

/// True when standard error is a terminal: progress may be shown.
[[nodiscard]] bool stderr_is_terminal();

} // namespace mla_scale::cli
