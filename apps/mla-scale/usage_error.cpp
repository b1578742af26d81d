#include "usage_error.hpp"

#include "check_command.hpp"
#include "output.hpp"

#include <mla_scale/core/text.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <vector>

namespace mla_scale::cli {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

bool has_option(const CLI::App& app, const std::string& name) {
  return app.get_option_no_throw(name) != nullptr;
}

/// What was probably meant by an option that `app` does not have.
std::string option_hint(const CLI::App& app, const std::string& name) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& long_name : option->get_lnames()) {
      names.push_back("--" + long_name);
    }
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (const std::string_view near = closest_match(name, views); !near.empty()) {
    return fmt::format("; did you mean '{}'?", near);
  }
  for (const CLI::App* command : commands_of(app)) {
    if (has_option(*command, name)) {
      return fmt::format("; it comes after a command, as in 'mla-scale {} {}'", command->get_name(),
                         name);
    }
  }
  return {};
}

/// What was probably meant by a word in place of a command: a command, an option without its
/// dashes, or a path without `inspect`.
std::string command_hint(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands_of(app)) {
    names.push_back(command->get_name());
  }
  for (const CLI::Option* option : app.get_options()) {
    names.push_back(option->get_lnames().front());
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (const std::string_view near = closest_match(word, views); !near.empty()) {
    const std::string option = fmt::format("--{}", near);
    return fmt::format("; did you mean '{}'?", has_option(app, option) ? option : near);
  }
  std::error_code ignored;
  return std::filesystem::exists(word, ignored)
             ? fmt::format("; did you mean 'mla-scale inspect {}'?", shell_quoted(word))
             : "";
}

/// The complaint about a word that nobody understood.
std::string complaint(const CLI::App& app, bool is_root, const std::string& word) {
  if (word.starts_with("-")) {
    return fmt::format("'{}' is not an option{}", word,
                       option_hint(app, word.substr(0, word.find('='))));
  }
  return is_root ? fmt::format("'{}' is not a command{}", word, command_hint(app, word))
                 : fmt::format("'{}' is not understood here", word);
}

} // namespace

ExitCode report_usage(CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* scope = &app;
  if (app.remaining().empty()) {
    for (const CLI::App* command : app.get_subcommands()) {
      scope = command;
    }
  }
  std::string message = error.what();
  if (const std::vector<std::string> rest = scope->remaining(); !rest.empty()) {
    message = complaint(*scope, scope == &app, rest.front());
  }
  print_error(escape_control(message));
  print_error(fmt::format("see '{} --help'",
                          scope == &app ? "mla-scale" : "mla-scale " + scope->get_name()));
  return ExitCode::usage;
}

} // namespace mla_scale::cli
