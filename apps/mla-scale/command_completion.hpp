#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `completion`: a script that teaches a shell this program's commands and options, from their own
/// definitions.
[[nodiscard]] Action setup_completion(CLI::App& app);

} // namespace mla_scale::cli
