#include "cli.hpp"

#include "commands.hpp"
#include "output.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/core/version.hpp>
#include <mla_scale/reference/kernel_choice.hpp>
#include <mla_scale/report/style.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_description =
    "Being right about attention scale: what a Multi-head Latent Attention model\n"
    "wants, what each engine would compute, and what a GPU really did.\n";

constexpr std::string_view k_exit_codes =
    "Exit codes: 0 fine, 1 findings, mismatch or drift, 2 wrong usage, 3 an input\n"
    "cannot be read or judged, 4 inconclusive, 70 a bug in mla-scale.\n";

/// CLI11's help, with descriptions broken to fit 80 columns.
class HelpFormatter : public CLI::Formatter {
public:
  HelpFormatter() { column_width(k_help_column); }

  std::string make_option_desc(const CLI::Option* option) const override {
    return broken(CLI::Formatter::make_option_desc(option));
  }

  std::string make_subcommand(const CLI::App* sub) const override {
    std::stringstream out;
    CLI::detail::format_help(out, sub->get_name(), broken(sub->get_description()),
                             get_column_width());
    return out.str();
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_positional()) {
      return option->get_expected_max() > 1 ? " ..." : "";
    }
    const std::string type = option->get_type_name();
    return option->get_type_size() == 0 ? "" : " " + type.substr(0, type.find(":{"));
  }

private:
  static constexpr std::size_t k_help_column = 28;
  static constexpr int k_help_width = 80;

  /// format_help indents what follows a newline, so the newlines are all it takes.
  static std::string broken(const std::string& text) {
    std::string lines =
        report::hanging("", 0, text, k_help_width - static_cast<int>(k_help_column));
    lines.pop_back();
    return lines;
  }
};

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

/// With the kernel that `check` would use.
std::string version_text() {
  const auto kernel = reference::chosen_kernel();
  if (!kernel) {
    throw CLI::ValidationError(kernel.error().pointer, kernel.error().message);
  }
  return fmt::format("mla-scale {}\nkernel: {} ({})", k_version, (*kernel)->name,
                     (*kernel)->instructions);
}

} // namespace

int run(int argc, char** argv) {
  CLI::App app{std::string(k_description), "mla-scale"};
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("-V,--version", version_text, "Print the version and the kernel in use");
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
