#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `mla-scale check`: what a GPU produced against attention in float64.
[[nodiscard]] Action setup_check(CLI::App& app);

} // namespace mla_scale::cli
