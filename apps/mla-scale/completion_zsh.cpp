#include "check_command.hpp"
#include "completion.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_zsh_head = R"(#compdef mla-scale
_mla_scale_target() {
  if compset -P 1 '*:'; then _files; else compadd -S ':' -q -- "$@"; fi
}
_mla_scale() {
  local -a commands
  commands=(
)";

constexpr std::string_view k_middle = R"(  )
  if (( CURRENT == 2 )); then
    _describe -t commands command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
)";

constexpr std::string_view k_zsh_tail = R"(  esac
}
if [[ $funcstack[1] == _mla-scale ]]; then _mla_scale "$@"; else compdef _mla_scale mla-scale; fi
)";

std::string escaped(std::string_view text, std::string_view special) {
  std::string result;
  for (const char c : text) {
    result += special.find(c) == std::string_view::npos ? "" : "\\";
    result += c;
  }
  return result;
}

/// ":what:how", the part of a specification that says what a value is.
std::string zsh_value(const ArgumentDescription& argument) {
  const std::string what = ":" + escaped(argument.value_name, ":") + ":";
  switch (argument.kind) {
  case ValueKind::none:
    return {};
  case ValueKind::choice:
    return fmt::format("{}({})", what, fmt::join(argument.choices, " "));
  case ValueKind::file:
    return what + "_files";
  case ValueKind::target:
    return fmt::format("{} _mla_scale_target {}", what, fmt::join(argument.choices, " "));
  case ValueKind::text:
    return what + " ";
  }
  return {};
}

std::string specifications(const CommandDescription& command) {
  std::string result;
  const auto add = [&](const std::string& text) { result += " \\\n        " + shell_quoted(text); };
  for (const ArgumentDescription& option : command.options) {
    const std::string rest =
        fmt::format("[{}]{}", escaped(option.description, "\\[]:"), zsh_value(option));
    if (!option.short_name.empty()) {
      add(fmt::format("*{}{}", option.short_name, rest));
    }
    add(fmt::format("*{}{}{}", option.long_name, option.kind == ValueKind::none ? "" : "=", rest));
  }
  for (std::size_t i = 0; i < command.positionals.size(); ++i) {
    const ArgumentDescription& positional = command.positionals[i];
    add((positional.repeated ? "*" : std::to_string(i + 1)) + zsh_value(positional));
  }
  return result;
}

} // namespace

std::string zsh_completion(const CommandLineDescription& description) {
  std::string names;
  std::string cases;
  for (const CommandDescription& command : description.commands) {
    names += "    " + shell_quoted(command.name + ":" + command.summary) + "\n";
    cases += fmt::format("    {})\n      _arguments{}\n      ;;\n", command.name,
                         specifications(command));
  }
  for (const ArgumentDescription& option : description.options) {
    names += "    " + shell_quoted(option.long_name + ":" + option.description) + "\n";
  }
  return fmt::format("{}{}{}{}{}", k_zsh_head, names, k_middle, cases, k_zsh_tail);
}

} // namespace mla_scale::cli
