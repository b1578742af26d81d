#pragma once

#include "exit_code.hpp"

#include <functional>
#include <span>
#include <string_view>

namespace CLI {
class App;
}

namespace mla_scale::cli {

/// What runs once the arguments are known.
using Action = std::function<ExitCode()>;

/// One line to type, and what comes of it.
struct Example {
  std::string_view line;
  std::string_view what;
};

/// One subcommand: adds its options to `app` and returns what to do after parsing.
struct Command {
  std::string_view name;
  std::string_view summary;
  std::span<const Example> examples; ///< shown in --help and in the manual page
  Action (*setup)(CLI::App& app);
  std::string_view notes = {}; ///< what the options alone do not say, in lines of up to 80 columns
};

} // namespace mla_scale::cli
