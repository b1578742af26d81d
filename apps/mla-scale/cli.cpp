#include "cli.hpp"

#include "commands.hpp"
#include "help.hpp"
#include "usage_error.hpp"

#include <mla_scale/core/version.hpp>
#include <mla_scale/reference/kernel_choice.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <string>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_description =
    "Being right about attention scale: what a Multi-head Latent Attention model\n"
    "wants, what each engine would compute, and what a GPU really did.\n";

int code(ExitCode exit_code) {
  return static_cast<int>(exit_code);
}

/// With the kernel that `check` would use.
std::string version_text() {
  const auto kernel = reference::chosen_kernel();
  if (!kernel) {
    throw CLI::ValidationError(kernel.error().pointer, kernel.error().message);
  }
  return fmt::format("mla-scale {}\nkernel: {} ({})", k_version, (*kernel)->name,
                     (*kernel)->instructions);
}

/// Adds a command. What it returns when it runs goes to `result`.
void add_command(CLI::App& app, const Command& command, ExitCode& result) {
  CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.summary));
  sub->group("Commands");
  sub->footer(std::string(command.notes) + (command.notes.empty() ? "" : "\n")
              + help_examples(command.examples));
  sub->set_help_flag("-h,--help", "Print this help");
  sub->option_defaults()->always_capture_default();
  Action action = command.setup(*sub);
  sub->callback([action = std::move(action), &result] { result = action(); });
}

} // namespace

int run(int argc, char** argv) {
  CLI::App app{std::string(k_description), "mla-scale"};
  app.formatter(help_formatter());
  app.set_version_flag("-V,--version", version_text, "Print the version and the kernel in use");
  app.set_help_flag("-h,--help", "Print this help");
  app.footer(help_examples(k_examples) + "\n" + help_exit_codes());
  app.require_subcommand(0, 1);

  ExitCode result = ExitCode::fine;
  for (const Command& command : k_commands) {
    add_command(app, command, result);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    return code(report_usage(app, error));
  }
  if (app.get_subcommands().empty()) {
    if (argc > 1) {
      return code(report_usage(app, CLI::RequiredError("a command")));
    }
    std::fputs(app.help().c_str(), stderr);
    return code(ExitCode::usage);
  }
  return code(result);
}

} // namespace mla_scale::cli
