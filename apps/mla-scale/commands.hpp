#pragma once

#include "command_audit.hpp"
#include "command_engines.hpp"
#include "command_explain.hpp"
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
    {"audit", "What is wrong with configs, what engines trip over, what has drifted",
     "Examples:\n"
     "  mla-scale audit models/DeepSeek-V3\n"
     "  mla-scale audit zoo --ignore MLA204 --fail-on warning\n"
     "  mla-scale audit zoo --snapshot zoo/snapshot.json --bless\n"
     "  mla-scale audit zoo -o sarif:audit.sarif -o junit:audit.xml\n",
     setup_audit},
    {"explain", "What an identifier means: rules, engines, families, laws, hypotheses",
     "Examples:\n"
     "  mla-scale explain MLA303\n"
     "  mla-scale explain softmax-scale\n"
     "  mla-scale explain --list --format json\n",
     setup_explain},
};

} // namespace mla_scale::cli
