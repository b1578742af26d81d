#pragma once

#include "command.hpp"

#include <array>

namespace mla_scale::cli {

/// One row a command, in the order of --help. Each stands in a file of its own, command_<name>.cpp.
inline constexpr std::array<Command, 0> k_commands = {};

} // namespace mla_scale::cli
