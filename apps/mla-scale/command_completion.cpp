#include "command_completion.hpp"

#include "completion.hpp"
#include "one_of.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>

#include <memory>
#include <string>

namespace mla_scale::cli {

Action setup_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(OneOf({"bash", "zsh", "fish"}));
  return [shell, &app] {
    const CommandLineDescription description = describe(*app.get_parent());
    const auto render = [&](std::string_view, const TerminalStyle&) {
      return *shell == "bash"  ? bash_completion(description)
             : *shell == "zsh" ? zsh_completion(description)
                               : fish_completion(description);
    };
    return write_outputs({}, render, ExitCode::fine);
  };
}

} // namespace mla_scale::cli
