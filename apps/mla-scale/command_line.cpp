#include "command_line.hpp"

#include "commands.hpp"

#include <mla_scale/explain/entry.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>

namespace mla_scale::cli {
namespace {

/// Arguments whose values are identifiers of a table, which `explain` knows.
struct IdentifierArgument {
  std::string_view command;
  std::string_view name;
  std::string_view kind; ///< explain::Entry::kind; empty: all
};

constexpr IdentifierArgument k_identifier_arguments[] = {
    {"engines", "--engine", "engine"},
    {"audit", "--select", "rule"},
    {"audit", "--ignore", "rule"},
    {"explain", "ID", ""},
};

constexpr std::string_view k_file_names[] = {"PATH", "CAPTURE", "FILE"};
constexpr std::string_view k_target_name = "FORMAT:FILE";

std::vector<std::string> identifiers(std::string_view kind) {
  std::vector<std::string> ids;
  for (const explain::Entry& entry : explain::entries()) {
    if (kind.empty() || entry.kind == kind) {
      ids.push_back(entry.id);
    }
  }
  return ids;
}

/// The names between braces of CLI11's "FORMAT:{text,json}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t open = type.find(":{");
  if (open == std::string::npos) {
    return {};
  }
  return CLI::detail::split(type.substr(open + 2, type.find('}', open) - open - 2), ',');
}

/// The choices and the kind of an argument whose other members are known.
void add_values(const CLI::App& app, const CLI::Option& option, ArgumentDescription& argument) {
  if (argument.value_name.empty()) {
    return;
  }
  const std::string name = argument.long_name.empty() ? argument.value_name : argument.long_name;
  const auto* table = std::find_if(
      std::begin(k_identifier_arguments), std::end(k_identifier_arguments),
      [&](const auto& row) { return row.command == app.get_name() && row.name == name; });
  const auto* file =
      std::find(std::begin(k_file_names), std::end(k_file_names), argument.value_name);
  argument.choices =
      table != std::end(k_identifier_arguments) ? identifiers(table->kind) : choices_of(option);
  if (argument.value_name == k_target_name) {
    argument.kind = ValueKind::target;
    argument.choices = choices_of(*app.get_option("--format"));
  } else if (!argument.choices.empty()) {
    argument.kind = ValueKind::choice;
  } else {
    argument.kind = file != std::end(k_file_names) ? ValueKind::file : ValueKind::text;
  }
}

ArgumentDescription describe_argument(const CLI::App& app, const CLI::Option& option) {
  ArgumentDescription argument;
  if (option.get_positional()) {
    argument.value_name = option.get_name();
  } else {
    argument.long_name = "--" + option.get_lnames().front();
    argument.short_name = option.get_snames().empty() ? "" : "-" + option.get_snames().front();
    argument.value_name = value_name_of(option);
  }
  argument.description = option.get_description();
  argument.fallback = default_of(option);
  argument.required = option.get_required();
  argument.repeated = option.get_expected_max() > 1;
  add_values(app, option, argument);
  return argument;
}

std::vector<ArgumentDescription> arguments(const CLI::App& app, bool positional) {
  std::vector<ArgumentDescription> result;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() == positional) {
      result.push_back(describe_argument(app, *option));
    }
  }
  return result;
}

} // namespace

std::string value_name_of(const CLI::Option& option) {
  if (option.get_type_size() == 0) {
    return {};
  }
  const std::string type =
      option.get_option_text().empty() ? option.get_type_name() : option.get_option_text();
  return type.substr(0, type.find(":{"));
}

std::string default_of(const CLI::Option& option) {
  std::string text = option.get_type_size() == 0 ? "" : option.get_default_str();
  return text == "[]" || text == "{}" || text == "\"\"" ? "" : text;
}

CommandLineDescription describe(const CLI::App& root) {
  CommandLineDescription result;
  result.summary = root.get_description();
  result.options = arguments(root, false);
  result.examples = k_examples;
  for (const Command& command : k_commands) {
    const CLI::App& app = *root.get_subcommand(std::string(command.name));
    result.commands.push_back({std::string(command.name), std::string(command.summary),
                               arguments(app, true), arguments(app, false), command.examples,
                               std::string(command.notes)});
  }
  return result;
}

} // namespace mla_scale::cli
