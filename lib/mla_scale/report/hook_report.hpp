#pragma once

#include <mla_scale/hook/hook.hpp>
#include <mla_scale/report/style.hpp>

#include <span>
#include <string>

namespace mla_scale::report {

/// The hooks as a list for people.
[[nodiscard]] std::string hook_list_text(std::span<const hook::Hook> hooks,
                                         const TerminalStyle& style);

/// The hooks as JSON, each with its Python file when `with_python`.
[[nodiscard]] std::string hook_json(std::span<const hook::Hook> hooks, bool with_python);

} // namespace mla_scale::report
