#include "completion.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mla_scale::cli {
namespace {

/// In fish, a backslash keeps its meaning before a quote or a backslash inside single quotes.
std::string single_quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    result += c == '\'' || c == '\\' ? "\\" : "";
    result += c;
  }
  return result + "'";
}

std::string fish_value(const ArgumentDescription& argument) {
  switch (argument.kind) {
  case ValueKind::none:
    return " -f";
  case ValueKind::choice:
    return fmt::format(" -x -a '{}'", fmt::join(argument.choices, " "));
  case ValueKind::file:
    return " -r -F";
  case ValueKind::target:
    return fmt::format(" -r -F -a '{}:'", fmt::join(argument.choices, ": "));
  case ValueKind::text:
    return " -x";
  }
  return {};
}

std::string option_line(const std::string& condition, const ArgumentDescription& option) {
  return fmt::format("complete -c mla-scale -n '{}'{} -l {}{} -d {}\n", condition,
                     option.short_name.empty() ? "" : " -s " + option.short_name.substr(1),
                     option.long_name.substr(2), fish_value(option),
                     single_quoted(option.description));
}

} // namespace

std::string fish_completion(const CommandLineDescription& description) {
  constexpr std::string_view k_no_command = "__fish_use_subcommand";
  std::string script = "# fish completion of mla-scale\n";
  for (const ArgumentDescription& option : description.options) {
    script += option_line(std::string(k_no_command), option);
  }
  for (const CommandDescription& command : description.commands) {
    script += fmt::format("complete -c mla-scale -n {} -f -a {} -d {}\n", k_no_command,
                          command.name, single_quoted(command.summary));
    const std::string seen = "__fish_seen_subcommand_from " + command.name;
    for (const ArgumentDescription& positional : command.positionals) {
      if (positional.kind == ValueKind::choice) {
        script += fmt::format("complete -c mla-scale -n '{}' -f -a '{}'\n", seen,
                              fmt::join(positional.choices, " "));
      }
    }
    for (const ArgumentDescription& option : command.options) {
      script += option_line(seen, option);
    }
  }
  return script;
}

} // namespace mla_scale::cli
