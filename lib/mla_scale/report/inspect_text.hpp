#pragma once

#include <mla_scale/report/inspection.hpp>
#include <mla_scale/report/style.hpp>

#include <span>
#include <string>

namespace mla_scale::report {

/// The text report of `inspect`: one block a model, one line for a model that is not MLA, and from
/// four models on one line each. Errors are not repeated: they belong on standard error.
[[nodiscard]] std::string inspect_text(std::span<const Inspection> inspections,
                                       const TerminalStyle& style);

/// One model on one line of `inspect`, for lists of many: scale, family and path.
[[nodiscard]] std::string inspect_line(const Inspection& inspection, const TerminalStyle& style);

} // namespace mla_scale::report
