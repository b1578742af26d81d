#include "cli.hpp"

#include "commands.hpp"
#include "output.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/core/version.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <string>
#include <vector>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_description =
    "Being right about attention scale: what a Multi-head Latent Attention model wants,\n"
    "what each engine would compute, and what a GPU really did.\n";

constexpr std::string_view k_exit_codes =
    "Exit codes: 0 fine, 1 findings, mismatch or drift, 2 wrong usage, 3 an input cannot be\n"
    "read or judged, 4 inconclusive, 70 a bug in mla-scale.\n";

int code(ExitCode exit_code) {
  return static_cast<int>(exit_code);
}

/// Appends what was probably meant to CLI11's complaint about an unknown command or option.
std::string suggestion(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  if (word.starts_with("-")) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        names.push_back("--" + name);
      }
    }
  } else {
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(sub->get_name());
    }
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view near = closest_match(word.substr(0, word.find('=')), views);
  return near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
}

int report_usage(CLI::App& app, const CLI::ParseError& error) {
  CLI::App* scope = &app;
  for (CLI::App* sub : app.get_subcommands()) {
    scope = sub;
  }
  std::string message = error.what();
  if (const std::vector<std::string> rest = scope->remaining(); !rest.empty()) {
    message = fmt::format("'{}' is not {}{}", rest.front(),
                          rest.front().starts_with("-") ? "an option"
                          : scope == &app               ? "a command"
                                                        : "understood here",
                          suggestion(*scope, rest.front()));
  }
  print_error(escape_control(message));
  print_error(fmt::format("see '{} --help'",
                          scope == &app ? "mla-scale" : "mla-scale " + scope->get_name()));
  return code(ExitCode::usage);
}

} // namespace

int run(int argc, char** argv) {
  CLI::App app{std::string(k_description), "mla-scale"};
  app.set_version_flag("-V,--version", fmt::format("mla-scale {}", k_version), "Print the version");
  app.set_help_flag("-h,--help", "Print this help");
  app.footer(std::string(k_exit_codes));
  app.require_subcommand(0, 1);

  ExitCode result = ExitCode::fine;
  for (const Command& command : k_commands) {
    CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.summary));
    sub->footer(std::string(command.examples));
    sub->set_help_flag("-h,--help", "Print this help");
    Action action = command.setup(*sub);
    sub->callback([action = std::move(action), &result] { result = action(); });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error);
  }
  if (app.get_subcommands().empty()) {
    if (argc > 1) {
      return report_usage(app, CLI::RequiredError("a command"));
    }
    std::fputs(app.help().c_str(), stderr);
    return code(ExitCode::usage);
  }
  return code(result);
}

} // namespace mla_scale::cli
