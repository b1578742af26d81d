#pragma once

#include "command_line.hpp"

#include <string>

namespace mla_scale::cli {

/// The manual page mla-scale(1) in the man macros of roff, without a date: the same program gives
/// the same page.
[[nodiscard]] std::string man_page(const CommandLineDescription& description);

} // namespace mla_scale::cli
