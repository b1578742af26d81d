#pragma once

#include "command_line.hpp"

#include <string>

namespace mla_scale::cli {

/// Scripts that teach a shell the commands, options, values and identifiers.
[[nodiscard]] std::string bash_completion(const CommandLineDescription& description);
[[nodiscard]] std::string zsh_completion(const CommandLineDescription& description);
[[nodiscard]] std::string fish_completion(const CommandLineDescription& description);

} // namespace mla_scale::cli
