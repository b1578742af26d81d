#pragma once

#include "command_audit.hpp"
#include "command_check.hpp"
#include "command_completion.hpp"
#include "command_engines.hpp"
#include "command_explain.hpp"
#include "command_hook.hpp"
#include "command_inspect.hpp"
#include "command_sample.hpp"

namespace mla_scale::cli {

inline constexpr Example k_examples[] = {
    {"mla-scale inspect models/DeepSeek-V3", "what attention the model wants, derived"},
    {"mla-scale audit models", "what is wrong with a directory of models"},
    {"mla-scale check models/DeepSeek-V3 dump.safetensors", "is this dump of a GPU right"},
    {"mla-scale check --help", "the options of one command, with examples"},
};

inline constexpr Example k_inspect_examples[] = {
    {"mla-scale inspect models/DeepSeek-V3", "one model: dims, rope and both softmax scales"},
    {"mla-scale inspect models --format json", "every model below a directory, for a program"},
    {"cat config.json | mla-scale inspect -", "a config that is nowhere on disk"},
};

inline constexpr Example k_engines_examples[] = {
    {"mla-scale engines models/DeepSeek-V3",
     "every engine; those that differ stand last, each with why"},
    {"mla-scale engines config.json --engine vllm --engine vllm@32623",
     "vLLM now, and as of its regression"},
    {"mla-scale engines models --format json", "a matrix of models and engines"},
};

inline constexpr Example k_audit_examples[] = {
    {"mla-scale audit models/DeepSeek-V3", "what is wrong with one model"},
    {"mla-scale audit models --ignore MLA204 --fail-on warning", "stricter, but for one rule"},
    {"mla-scale audit models --snapshot snapshot.json --bless", "write down how things stand"},
    {"mla-scale audit models --snapshot snapshot.json", "exit with 1 when anything has drifted"},
    {"mla-scale audit models -o sarif:audit.sarif -o junit:audit.xml", "reports for a CI system"},
};

inline constexpr Example k_check_examples[] = {
    {"mla-scale check models/DeepSeek-V3 dump.safetensors", "one file with inputs and outputs"},
    {"mla-scale check config.json inputs.safetensors out.safetensors --phase decode",
     "inputs of sample, outputs of an absorbed decode kernel"},
    {"mla-scale check config.json dumps/layer0 --heads 0,1 -o junit:check.xml",
     "a directory of tensors; two heads; a report for CI"},
};

inline constexpr Example k_sample_examples[] = {
    {"mla-scale sample models/DeepSeek-V3 -o inputs.safetensors --heads 8",
     "inputs for eight heads of a prefill kernel"},
    {"mla-scale sample config.json -o step.safetensors --seq-len 1 --prefix-len 99",
     "one step of decode, every head"},
};

inline constexpr Example k_hook_examples[] = {
    {"mla-scale hook transformers > mla_hook.py", "then: mla_hook.install(model)"},
    {"mla-scale hook vllm > mla_hook.py", "then: vllm serve with it as worker extension"},
    {"mla-scale hook --list", "what each captures, and how"},
};

inline constexpr Example k_completion_examples[] = {
    {"source <(mla-scale completion bash)", "for this bash"},
    {"mla-scale completion zsh > ~/.zfunc/_mla-scale", "for zsh, with ~/.zfunc in fpath"},
    {"mla-scale completion fish > ~/.config/fish/completions/mla-scale.fish", "for fish"},
};

inline constexpr Example k_explain_examples[] = {
    {"mla-scale explain MLA303", "one rule of audit"},
    {"mla-scale explain softmax-scale", "the law"},
    {"mla-scale explain scale.latent_width vllm@32623", "a bug, and an engine that had it"},
    {"mla-scale explain --list --format json", "every identifier, for a program"},
    {"mla-scale explain man | man -l -", "the manual page"},
};

/// One row a command, in the order of --help. Each stands in a file of its own, command_<name>.cpp.
inline constexpr Command k_commands[] = {
    {"inspect", "What attention a model wants, and its softmax scales derived step by step",
     k_inspect_examples, setup_inspect},
    {"engines", "What each inference and training engine would compute from the same config",
     k_engines_examples, setup_engines,
     "Columns: the scale in prefill and decode, the factor on cos and sin (- unknown),\n"
     "whether they agree with the model's own law, and how sure that is: read in the\n"
     "engine's source, reported in a thread or document, inferred from what was read.\n"
     "vllm is the newest state, vllm@32623 an older one; explain ID says which.\n"},
    {"audit", "What is wrong with configs, what engines trip over, what has drifted",
     k_audit_examples, setup_audit},
    {"check", "What a GPU produced against attention in float64: verdict, and the bug's name",
     k_check_examples, setup_check},
    {"sample", "Random inputs of attention for the GPU side, as safetensors", k_sample_examples,
     setup_sample,
     "Tensors, shapes and names: q [Tq,H,P+R], k [Tk,H,P+R], v [Tk,H,V] after RoPE;\n"
     "kv_c [Tk,L], k_pe [Tk,R], kv_b_proj [H*(P+V),L]; q_pre, k_pe_pre before RoPE;\n"
     "positions_q, positions_k. Keys are causal, bottom-right aligned: query i sees\n"
     "keys 0 to i + prefix.\n"},
    {"hook", "A Python file that captures attention inside an engine, for check", k_hook_examples,
     setup_hook,
     "The file says at its top how to use it. It needs torch and safetensors, changes\n"
     "no result, and writes a .safetensors for each chosen layer, which check reads.\n"},
    {"completion", "A completion script for bash, zsh or fish", k_completion_examples,
     setup_completion},
    {"explain", "What an identifier means: rules, engines, families, laws, hypotheses",
     k_explain_examples, setup_explain},
};

} // namespace mla_scale::cli
