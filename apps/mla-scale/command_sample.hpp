#pragma once

#include "command.hpp"

namespace mla_scale::cli {

/// `sample`: random inputs of attention for the GPU side, as safetensors.
[[nodiscard]] Action setup_sample(CLI::App& app);

} // namespace mla_scale::cli
