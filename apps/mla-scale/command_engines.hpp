#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `engines`: what each engine would compute from the same config.
[[nodiscard]] Action setup_engines(CLI::App& app);

} // namespace mla_scale::cli
