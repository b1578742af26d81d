#pragma once

#include "command_engines.hpp"
#include "command_inspect.hpp"
#include "command_sample.hpp"

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
    {"sample", "Random inputs of attention for the GPU side, as safetensors",
     "Tensors, shapes and names: q [Tq,H,P+R], k [Tk,H,P+R], v [Tk,H,V] after RoPE; kv_c [Tk,L],\n"
     "k_pe [Tk,R], kv_b_proj [H*(P+V),L]; q_pre, k_pe_pre before RoPE; positions_q, positions_k.\n"
     "Keys are causal, bottom-right aligned: query i sees keys 0 to i + prefix.\n"
     "Examples:\n"
     "  mla-scale sample models/DeepSeek-V3 -o inputs.safetensors --heads 8\n"
     "  mla-scale sample config.json -o inputs.safetensors --seq-len 512 --prefix-len 96 --seed "
     "1\n",
     setup_sample},
};

} // namespace mla_scale::cli
