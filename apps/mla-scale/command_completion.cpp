#include "command_completion.hpp"

#include "completion.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

namespace mla_scale::cli {
namespace {

/// The names between braces of CLI11's "FORMAT:{text,json}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t open = type.find(":{");
  if (open == std::string::npos) {
    return {};
  }
  return CLI::detail::split(type.substr(open + 2, type.find('}', open) - open - 2), ',');
}

std::vector<CompletionCommand> describe(const CLI::App& root) {
  std::vector<CompletionCommand> commands;
  for (const CLI::App* app : root.get_subcommands([](const CLI::App*) { return true; })) {
    CompletionCommand command{app->get_name(), app->get_description(), {}};
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_lnames().empty()) {
        continue;
      }
      const bool has_short = !option->get_snames().empty();
      command.options.push_back({has_short ? "-" + option->get_snames().front() : "",
                                 "--" + option->get_lnames().front(), option->get_description(),
                                 !option->get_type_name().empty(), choices_of(*option)});
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

} // namespace

Action setup_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return [shell, &app] {
    const std::string script = completion_script(*shell, describe(*app.get_parent()));
    std::fwrite(script.data(), 1, script.size(), stdout);
    return std::fflush(stdout) == 0 ? ExitCode::fine : ExitCode::input;
  };
}

} // namespace mla_scale::cli
