#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `audit`: which configs are wrong or traps, and what has drifted since the snapshot.
[[nodiscard]] Action setup_audit(CLI::App& app);

} // namespace mla_scale::cli
