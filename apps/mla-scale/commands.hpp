#pragma once

#include "command_engines.hpp"
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
    {"engines", "What each inference and training engine would compute from the same config",
     "Examples:\n"
     "  mla-scale engines models/DeepSeek-V3\n"
     "  mla-scale engines config.json --engine vllm --engine vllm@32623\n"
     "  mla-scale engines zoo --format json\n",
     setup_engines},
};

} // namespace mla_scale::cli
