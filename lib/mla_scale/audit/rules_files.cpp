#include "tables.hpp"

#include <array>

namespace mla_scale::audit {
namespace {

constexpr std::array k_files_rules = {
    Rule{"MLA401", "weights-kv-a", Severity::error,
         "kv_a_proj_with_mqa does not fit kv_lora_rank + qk_rope_head_dim",
         "Its rows are the latent and the rotated slice, its columns hidden_size, and "
         "kv_a_layernorm "
         "has one weight for each element of the latent. Another shape means that the config "
         "belongs to other weights.",
         "kv_a_proj_with_mqa.weight [512, 7168] beside kv_lora_rank 512, qk_rope_head_dim 64",
         "correct the config, or fetch the weights that belong to it",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788", nullptr},
    Rule{"MLA402", "weights-kv-b", Severity::error,
         "kv_b_proj does not fit num_attention_heads * (qk_nope_head_dim + v_head_dim)",
         "Its rows are, for each head, the unrotated key slice and the value; its columns the "
         "latent. Absorption splits it at qk_nope_head_dim, so a wrong split corrupts both.",
         "kv_b_proj.weight [32768, 512] for 128 heads of 128 + 128",
         "correct the config, or fetch the weights that belong to it",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788", nullptr},
    Rule{"MLA403", "weights-q", Severity::error,
         "the query projection does not fit num_attention_heads * qk_head_dim",
         "q_b_proj (or q_proj without query compression) has qk_head_dim rows for each head: the "
         "width whose -1/2 power is the softmax scale.",
         "q_b_proj.weight [24576, 1536] for 128 heads of 192",
         "correct the config, or fetch the weights that belong to it",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788", nullptr},
    Rule{"MLA404", "weights-o", Severity::error,
         "o_proj does not fit num_attention_heads * v_head_dim",
         "Its columns are the values of all heads, its rows hidden_size.",
         "o_proj.weight [7168, 16384] for 128 heads of 128",
         "correct the config, or fetch the weights that belong to it",
         "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788", nullptr},
    Rule{"MLA405", "weights-query-compression", Severity::error,
         "q_lora_rank and the weights disagree on query compression",
         "With a rank the weights have q_a_proj of [q_lora_rank, hidden_size], q_a_layernorm of "
         "that "
         "rank and q_b_proj, without one q_proj.",
         "\"q_lora_rank\": null beside q_b_proj.weight", "set q_lora_rank as the weights have it",
         "transformers modular_deepseek_v2.py@decba1d2", nullptr},
    Rule{"MLA406", "weights-quant-blocks", Severity::error,
         "quantisation scales do not fit the weight",
         "weight_scale_inv has one scale for each block of weight_block_size. Another count means "
         "that weight and scales come from different files, or another block size.",
         "weight [576, 7168] in blocks of 128 has scales [5, 56]",
         "fetch weight and scales from one revision",
         "deepseek-ai/DeepSeek-V3 inference/kernel.py@9b4e9788 (block size 128)", nullptr},
    Rule{"MLA407", "weights-shard-missing", Severity::note,
         "the index names a shard that is not there", "The shapes in it could not be compared.",
         "model-00001-of-00163.safetensors is in the index only", "fetch the shard",
         "huggingface/safetensors index format", nullptr},
    Rule{"MLA411", "sibling-dims-differ", Severity::error,
         "two config files of one directory have different dims",
         "config.json, params.json and a GGUF beside them describe the same weights. An engine "
         "picks one of them by its own rule.",
         "config.json kv_lora_rank 512, params.json kv_lora_rank 256",
         "correct the file that the weights contradict",
         "vllm configs/mistral.py@01da88c5 (params.json); llama.cpp (GGUF)", nullptr},
    Rule{"MLA412", "sibling-rope-differs", Severity::error,
         "two config files of one directory have different rope values",
         "The engine's choice of file then decides the frequencies and the scale.",
         "config.json factor 40, params.json factor 36", "make the two equal",
         "vllm configs/mistral.py@01da88c5; vllm#57563 (a regression through such a file)",
         nullptr},
    Rule{"MLA413", "sibling-scale-differs", Severity::warning,
         "two config files of one directory give different softmax scales",
         "The same weights run with two temperatures, by the choice of file.",
         "config.json without apply_yarn_scaling beside params.json with apply_scale false",
         "make the switch explicit in both", "vllm#57563; sglang#26203", nullptr},
    Rule{"MLA414", "generation-too-long", Severity::warning,
         "generation_config.json asks for more than max_position_embeddings",
         "Beyond max_position_embeddings the YaRN ramp was never fitted.",
         "\"max_length\": 262144 beside max_position_embeddings 131072",
         "lower max_length, or raise max_position_embeddings and factor together",
         "transformers GenerationConfig", nullptr},
    Rule{"MLA415", "quantization-differs", Severity::warning,
         "config.json and hf_quant_config.json name different quantisation",
         "Engines read one or the other (TensorRT-LLM hf_quant_config.json, vLLM config.json "
         "first).",
         "quant_algo NVFP4 in one and FP8 in the other", "make the two equal",
         "NVIDIA ModelOpt export", nullptr},
    Rule{"MLA416", "kv-cache-quantization-differs", Severity::warning,
         "only one of two files quantises the KV cache",
         "An fp8 latent changes what a dump contains and multiplies a dequantisation factor into "
         "the scale of decode.",
         "kv_cache_quant_algo FP8 in hf_quant_config.json, no kv_cache_scheme in config.json",
         "make the two equal", "vllm mla/flashinfer_mla.py@002d68ef (bmm1_scale)", nullptr},
};

} // namespace

std::span<const Rule> file_rules() {
  return k_files_rules;
}

} // namespace mla_scale::audit
