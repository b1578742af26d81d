#include "completion.hpp"

#include <fmt/format.h>

namespace mla_scale::cli {
namespace {

// bash cuts words at '=', ':' and '@' as well, which would tear "--format=json", "sarif:FILE" and
// "vllm@32623" apart: words are read from the line, and a reply leaves out what bash has kept.
constexpr std::string_view k_bash_head = R"(# bash completion of mla-scale
_mla_scale_reply() {
  local kept=${value%"$tail"}
  compopt +o default 2>/dev/null
  COMPREPLY=($(compgen -W "$1" -- "$value"))
  COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}
_mla_scale() {
  local line=${COMP_LINE:0:COMP_POINT} tail=$2 command='' names='' options='' word
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local value=${words[${#words[@]}-1]} previous=${words[${#words[@]}-2]}
  [[ $tail == [:=@] ]] && tail=''
  if [[ $value == --*=* ]]; then
    previous=${value%%=*} value=${value#*=}
  fi
  COMPREPLY=()
  for word in "${words[@]:1:${#words[@]}-2}"; do
    case $word in
)";

constexpr std::string_view k_bash_tail = R"(  esac
  if [[ $value == -* ]]; then
    _mla_scale_reply "$options"
  elif [[ $names ]]; then
    _mla_scale_reply "$names"
  fi
}
complete -o default -F _mla_scale mla-scale
)";

std::string joined(const std::vector<std::string>& words, std::string_view suffix = "") {
  std::string text;
  for (const std::string& word : words) {
    text += fmt::format("{}{}{}", text.empty() ? "" : " ", word, suffix);
  }
  return text;
}

std::string option_names(const std::vector<ArgumentDescription>& options) {
  std::vector<std::string> names;
  for (const ArgumentDescription& option : options) {
    names.push_back(option.long_name);
  }
  return joined(names);
}

/// What to do with the value of an option. Files are what the shell offers by itself.
std::string value_action(const ArgumentDescription& option) {
  switch (option.kind) {
  case ValueKind::none:
  case ValueKind::file:
    break;
  case ValueKind::choice:
    return fmt::format("_mla_scale_reply '{}'; ", joined(option.choices));
  case ValueKind::target:
    return fmt::format("[[ $value == *:* ]] || {{ compopt -o nospace 2>/dev/null; "
                       "_mla_scale_reply '{}'; }}; ",
                       joined(option.choices, ":"));
  case ValueKind::text:
    return "compopt +o default 2>/dev/null; ";
  }
  return {};
}

std::string value_cases(const CommandDescription& command) {
  std::string cases;
  for (const ArgumentDescription& option : command.options) {
    if (option.kind == ValueKind::none) {
      continue;
    }
    const std::string short_case =
        option.short_name.empty() ? "" : fmt::format("{}:{}|", command.name, option.short_name);
    cases += fmt::format("    {}{}:{}) {}return ;;\n", short_case, command.name, option.long_name,
                         value_action(option));
  }
  return cases;
}

} // namespace

std::string bash_completion(const CommandLineDescription& description) {
  std::vector<std::string> names;
  std::string values;
  std::string words;
  for (const CommandDescription& command : description.commands) {
    names.push_back(command.name);
    values += value_cases(command);
    const bool choice =
        command.positionals.size() == 1 && command.positionals.front().kind == ValueKind::choice;
    words += fmt::format("    {}) options='{}' names='{}' ;;\n", command.name,
                         option_names(command.options),
                         choice ? joined(command.positionals.front().choices) : "");
  }
  const std::string all = joined(names);
  std::string patterns = all;
  for (char& c : patterns) {
    c = c == ' ' ? '|' : c;
  }
  return fmt::format("{}      {}) command=$word; break ;;\n    esac\n  done\n"
                     "  case $command:$previous in\n{}  esac\n"
                     "  case $command in\n    '') options='{}' names='{}' ;;\n{}{}",
                     k_bash_head, patterns, values, option_names(description.options), all, words,
                     k_bash_tail);
}

} // namespace mla_scale::cli
