#pragma once

#include <mla_scale/explain/entry.hpp>
#include <mla_scale/report/style.hpp>

#include <span>
#include <string>

namespace mla_scale::report {

/// An explanation for people: title, then one paragraph for each section.
[[nodiscard]] std::string explain_text(std::span<const explain::Entry* const> entries,
                                       const TerminalStyle& style);

/// One line for each entry, under the name of its kind.
[[nodiscard]] std::string explain_list_text(std::span<const explain::Entry* const> entries,
                                            const TerminalStyle& style);

} // namespace mla_scale::report
