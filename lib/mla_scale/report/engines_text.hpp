#pragma once

#include <mla_scale/report/engine_comparison.hpp>
#include <mla_scale/report/style.hpp>

#include <span>
#include <string>

namespace mla_scale::report {

/// The text report of `engines`: one table a model. Rules that agree come first and those that do
/// not come last, each with its reason below it, so that a terminal ends with the outliers and the
/// summary. With several models, rules that agree are only counted.
[[nodiscard]] std::string engines_text(std::span<const EngineComparison> comparisons,
                                       const TerminalStyle& style);

} // namespace mla_scale::report
