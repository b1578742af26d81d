#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `hook`: the Python file that captures attention inside an engine, for `check`.
[[nodiscard]] Action setup_hook(CLI::App& app);

} // namespace mla_scale::cli
