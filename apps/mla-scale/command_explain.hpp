#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `explain`: the documentation of every identifier that the program prints.
[[nodiscard]] Action setup_explain(CLI::App& app);

} // namespace mla_scale::cli
