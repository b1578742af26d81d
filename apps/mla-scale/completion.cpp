#include "completion.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mla_scale::cli {
namespace {

/// Text inside single quotes of a POSIX shell.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    result += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return result + "'";
}

std::string bash(const std::vector<CompletionCommand>& commands) {
  std::string names;
  std::string cases;
  for (const CompletionCommand& command : commands) {
    names += command.name + " ";
    std::string options;
    std::string values;
    for (const CompletionOption& option : command.options) {
      options += option.long_name + " ";
      if (!option.choices.empty()) {
        const std::string pattern = option.short_name.empty()
                                        ? option.long_name
                                        : option.short_name + "|" + option.long_name;
        values += fmt::format("        {}) COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return ;;\n",
                              pattern, fmt::join(option.choices, " "));
      }
    }
    cases += fmt::format("    {})\n      options='{}'\n", command.name, options);
    cases += values.empty() ? "" : "      case $prev in\n" + values + "      esac\n";
    cases += "      ;;\n";
  }
  return "# bash completion of mla-scale\n_mla_scale() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options=\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W '"
         + names
         + "--help --version' -- \"$cur\"))\n    return\n  fi\n"
           "  case ${COMP_WORDS[1]} in\n"
         + cases
         + "  esac\n"
           "  if [ \"${cur#-}\" != \"$cur\" ]; then\n"
           "    COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
           "  else\n    COMPREPLY=($(compgen -f -- \"$cur\"))\n  fi\n}\n"
           "complete -o filenames -F _mla_scale mla-scale\n";
}

std::string zsh(const std::vector<CompletionCommand>& commands) {
  std::string names;
  std::string cases;
  const auto described = [](const std::string& name, const std::string& text) {
    std::string plain = text;
    for (char& c : plain) {
      c = c == ':' || c == '[' || c == ']' ? ' ' : c;
    }
    return std::pair{name, plain};
  };
  for (const CompletionCommand& command : commands) {
    const auto [name, text] = described(command.name, command.description);
    names += "    " + quoted(name + ":" + text) + "\n";
    cases += fmt::format("    {})\n      _arguments '*:file:_files'", name);
    for (const CompletionOption& option : command.options) {
      const auto [long_name, help] = described(option.long_name, option.description);
      const std::string value = !option.takes_value ? ""
                                : option.choices.empty()
                                    ? ":value:_files"
                                    : fmt::format(":value:({})", fmt::join(option.choices, " "));
      cases += " \\\n        " + quoted(fmt::format("*{}[{}]{}", long_name, help, value));
    }
    cases += "\n      ;;\n";
  }
  return "#compdef mla-scale\n_mla_scale() {\n  local -a commands\n  commands=(\n" + names
         + "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
           "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n"
         + cases + "  esac\n}\n_mla_scale \"$@\"\n";
}

std::string fish(const std::vector<CompletionCommand>& commands) {
  std::string script = "# fish completion of mla-scale\n";
  for (const CompletionCommand& command : commands) {
    script += fmt::format("complete -c mla-scale -n __fish_use_subcommand -f -a {} -d {}\n",
                          command.name, quoted(command.description));
    for (const CompletionOption& option : command.options) {
      script +=
          fmt::format("complete -c mla-scale -n '__fish_seen_subcommand_from {}'", command.name);
      script += option.short_name.empty() ? "" : " -s " + option.short_name.substr(1);
      script += " -l " + option.long_name.substr(2);
      script += option.takes_value ? " -r" : "";
      script +=
          option.choices.empty() ? "" : fmt::format(" -f -a '{}'", fmt::join(option.choices, " "));
      script += " -d " + quoted(option.description) + "\n";
    }
  }
  return script;
}

} // namespace

std::string completion_script(std::string_view shell,
                              const std::vector<CompletionCommand>& commands) {
  return shell == "bash" ? bash(commands) : shell == "zsh" ? zsh(commands) : fish(commands);
}

} // namespace mla_scale::cli
