#pragma once

#include "command_audit.hpp"
#include "command_check.hpp"
#include "command_completion.hpp"
#include "command_engines.hpp"
#include "command_explain.hpp"
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
    {"audit", "What is wrong with configs, what engines trip over, what has drifted",
     "Examples:\n"
     "  mla-scale audit models/DeepSeek-V3\n"
     "  mla-scale audit zoo --ignore MLA204 --fail-on warning\n"
     "  mla-scale audit zoo --snapshot zoo/snapshot.json --bless\n"
     "  mla-scale audit zoo -o sarif:audit.sarif -o junit:audit.xml\n",
     setup_audit},
    {"check", "What a GPU produced against attention in float64: the verdict, and the bug's name",
     "Examples:\n"
     "  mla-scale check models/DeepSeek-V3 dump.safetensors\n"
     "  mla-scale check models/DeepSeek-V3 inputs.safetensors out.pt --phase decode\n"
     "  mla-scale check config.json dumps/layer0 --heads 0-3 -o junit:check.xml\n",
     setup_check},
    {"sample", "Random inputs of attention for the GPU side, as safetensors",
     "Tensors, shapes and names: q [Tq,H,P+R], k [Tk,H,P+R], v [Tk,H,V] after RoPE; kv_c [Tk,L],\n"
     "k_pe [Tk,R], kv_b_proj [H*(P+V),L]; q_pre, k_pe_pre before RoPE; positions_q, positions_k.\n"
     "Keys are causal, bottom-right aligned: query i sees keys 0 to i + prefix.\n"
     "Examples:\n"
     "  mla-scale sample models/DeepSeek-V3 -o inputs.safetensors --heads 8\n"
     "  mla-scale sample config.json -o inputs.safetensors --seq-len 512 --prefix-len 96 --seed "
     "1\n",
     setup_sample},
    {"completion", "A completion script for bash, zsh or fish",
     "Examples:\n"
     "  source <(mla-scale completion bash)\n"
     "  mla-scale completion zsh > ~/.zfunc/_mla-scale\n"
     "  mla-scale completion fish > ~/.config/fish/completions/mla-scale.fish\n",
     setup_completion},
    {"explain", "What an identifier means: rules, engines, families, laws, hypotheses",
     "Examples:\n"
     "  mla-scale explain MLA303\n"
     "  mla-scale explain softmax-scale\n"
     "  mla-scale explain --list --format json\n",
     setup_explain},
};

} // namespace mla_scale::cli
