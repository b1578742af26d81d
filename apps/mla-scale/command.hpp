#pragma once

#include "exit_code.hpp"

#include <functional>
#include <string_view>

namespace CLI {
class App;
}

namespace mla_scale::cli {

/// What runs once the arguments are known.
using Action = std::function<ExitCode()>;

/// One subcommand: adds its options to `app` and returns what to do after parsing.
struct Command {
  std::string_view name;
  std::string_view summary;
  std::string_view examples; ///< shown below the options in --help
  Action (*setup)(CLI::App& app);
};

} // namespace mla_scale::cli
