#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `inspect`: what attention a model wants, and its two softmax scales derived.
[[nodiscard]] Action setup_inspect(CLI::App& app);

} // namespace mla_scale::cli
