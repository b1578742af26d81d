#pragma once

#include "command_inspect.hpp"

namespace mla_scale::cli {

/// One row a command, in the order of --help. Each stands in a file of its own, command_<name>.cpp.
inline constexpr Command k_commands[] = {
    {"inspect", "What attention a model wants, and its softmax scales derived step by step",
     "Examples:\n"
     "  mla-scale inspect models/DeepSeek-V3\n"
     "  mla-scale inspect zoo --format json\n"
     "  curl -s URL/config.json | mla-scale inspect -\n",
     setup_inspect},
};

} // namespace mla_scale::cli
