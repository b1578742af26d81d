#include <mla_scale/scale/law.hpp>

#include <array>

namespace mla_scale::scale {
namespace {

constexpr std::array k_laws = {
    Law{"softmax-scale", "scale softmax_scale prefill base qk_head_dim",
        "what q . k is multiplied by before the softmax",
        "scale = qk_head_dim^-1/2 * g(factor, mscale_all_dim)^2, with qk_head_dim = "
        "qk_nope_head_dim + qk_rope_head_dim",
        "It acts on the whole logit, the unrotated and the rotated part, in prefill and in decode "
        "alike. The width is that of q and k before absorption; the width of the cache row never "
        "enters. A wrong scale is a wrong temperature: outputs stay plausible, and the first row "
        "of a causal prefill is exact.",
        "DeepSeek V3: 192^-1/2 * 1.368887945411^2 = 0.1352337788608801. V2-Lite: "
        "0.1147213867929261. GLM-5: 256^-1/2 = 0.0625",
        "deepseek-ai/DeepSeek-V3 inference/model.py@9b4e9788 L434; huggingface/transformers "
        "modular_deepseek_v2.py@decba1d2 L239"},
    Law{"yarn-magnitude", "g yarn mscale mscale_all_dim factor",
        "g, the correction that YaRN makes to the size of logits",
        "g(factor, mscale) = 0.1 * mscale * ln(factor) + 1 for factor > 1, else 1",
        "Longer contexts flatten the softmax; g sharpens it again. The softmax scale takes g of "
        "mscale_all_dim squared, cos and sin take a quotient of two g (see cos-sin-factor). "
        "Leaving it out, taking it once, or reading the other key are the classic bugs.",
        "g(40, 1) = 1.368887945411, g(40, 0.707) = 1.260803777406, g(32, 1) = 1.346573590280, "
        "g(64, 1) = 1.415888308336",
        "DeepSeek yarn_get_mscale (deepseek-ai/DeepSeek-V3@9b4e9788); arXiv 2309.00071"},
    Law{"cos-sin-factor", "cos/sin cos sin attention_factor",
        "what cos and sin of the rotated slice are multiplied by",
        "g(factor, mscale) / g(factor, mscale_all_dim), or attention_factor where it is given",
        "Both q_pe and k_pe carry it, so the rotated part of the logit gets its square; the "
        "unrotated part gets nothing. It is exactly 1 when the two keys are equal, which is how "
        "V2, V3, R1 and Kimi K2 ship, and why nobody notices an engine that drops it.",
        "mscale 1.0 and mscale_all_dim 0.707 at factor 40: 1.085726399256",
        "huggingface/transformers modeling_rope_utils.py@decba1d2 L437; vllm "
        "deepseek_scaling_rope.py@00d678e1"},
    Law{"yarn-frequencies", "theta rope_theta beta_fast beta_slow",
        "how fast each pair of the rotated slice turns",
        "theta^(-2i/d) / factor for slow pairs, theta^(-2i/d) for fast ones, a ramp between the "
        "pairs that turn beta_fast and beta_slow times over the original context",
        "d is qk_rope_head_dim. Engines that hard-code beta 32 and 1, or another original length, "
        "rotate by other angles: nothing at position 0, more with distance. The softmax scale is "
        "not affected.",
        "V3 (d 64, theta 10000, factor 40, 4096): the ramp runs from pair 10 to pair 23",
        "huggingface/transformers modeling_rope_utils.py@decba1d2 _compute_yarn_parameters"},
    Law{"absorbed-decode", "decode latent latent_dim",
        "why decode over the latent takes the same scale",
        "(W_UK^T q_nope) . kv_c + q_pe . k_pe = q_nope . k_nope + q_pe . k_pe",
        "Decode multiplies q by W_UK and contracts over latent_dim = kv_lora_rank + "
        "qk_rope_head_dim, without expanding keys. The inner product is the same number, so the "
        "scale is too. An engine that takes latent_dim^-1/2 has a temperature of its own in "
        "decode, prefill or both.",
        "DeepSeek V3: 576 wide, scale 0.1352337788608801; 576^-1/2 would be 0.0416666666666667",
        "deepseek-ai/DeepSeek-V2 paper, section 2.1; vllm-project/vllm#41569, #41744"},
    Law{"llama-4-scaling", "llama_4_scaling temperature",
        "a temperature that grows with the position of the query",
        "q is multiplied by 1 + beta * ln(1 + floor(position / original))",
        "Mistral Large 3 and Small 4 have it. It acts on the whole of q after RoPE and is no part "
        "of the softmax scale. Below the original length it is 1, so short tests do not show it.",
        "beta 0.1, original 8192: position 8191 gives 1, 8192 gives 1.069314718056",
        "huggingface/transformers ministral3@decba1d2 L105; vllm deepseek_v2.py@002d6073"},
    Law{"lora-rescale", "q_lora_rank kv_lora_rank", "LongCat's rescaling of q and of the latent",
        "q *= sqrt(hidden_size / q_lora_rank); kv_c *= sqrt(hidden_size / kv_lora_rank); k_pe is "
        "left alone",
        "The cached latent is the scaled one. The softmax scale is not touched.",
        "LongCat-Flash: 2 on q, 3.4641 on the latent",
        "huggingface/transformers longcat_flash@decba1d2; vllm longcat_flash.py@055e47c2"},
    Law{"lse", "log-sum-exp logsumexp", "the log-sum-exp that a kernel exports beside its output",
        "lse_i = ln sum_j exp(scale * q_i . k_j), natural logarithm",
        "FlashInfer and TRT-LLM export it to base 2, most others to base e. It is the most exact "
        "witness of the scale that was used, and what partial results are merged by.",
        "lse of base 2 = lse / ln 2 = 1.442695 * lse",
        "vllm-project/vllm#52796; sgl-project/sglang#40903"},
    Law{"lse-merge", "merge", "how partial attention over two sets of keys becomes one",
        "out = (e^lse_a * out_a + e^lse_b * out_b) / (e^lse_a + e^lse_b); lse = ln(e^lse_a + "
        "e^lse_b)",
        "Chunked prefill and split decode depend on it. Both logarithms must have one base and "
        "both kernels one scale; otherwise each chunk is right and the merged rows are wrong.",
        "lse 0 and ln 3: weights 1/4 and 3/4",
        "arXiv 2501.01005 section 2.2; vllm ops/merge_attn_states.py@15a3fd47"},
    Law{"causal-mask", "mask prefix", "which keys a query sees when there is a prefix",
        "query i sees key j when j <= i + (Tk - Tq)",
        "Aligned to the bottom right: the last query sees every key. Alignment to the top left "
        "gives the same rows without a prefix and wrong ones with it.",
        "Tq 2, Tk 5: query 0 sees keys 0 to 3", "FlashAttention 2.1 release notes"},
    Law{"floor", "floors", "the error of a healthy kernel, which check counts errors in",
        "rms over the rows of a head or of a range of positions of |simulated out - exact out| / "
        "|exact out|; for lse of |simulated lse - exact lse|",
        "A kernel in bf16 is never exact, and how far off it may be depends on the inputs. So one "
        "that computes right and rounds as kernels of these dtypes do is simulated on exactly "
        "these inputs. Errors near 1 floor are rounding; a wrong scale is tens or hundreds.",
        "DeepSeek V3, bf16, scale 576^-1/2 instead of 0.1352: out is off by some 100 floors",
        "the same idea as Dao-AILab/flash-attention tests/test_flash_attn.py: at most twice the "
        "error of PyTorch in the same dtype"},
    Law{"kv-cache", "cache", "how much one token takes in the cache of one layer",
        "latent: kv_lora_rank + qk_rope_head_dim elements; expanded: num_attention_heads * "
        "(qk_head_dim + v_head_dim)",
        "Estimators that take MLA for grouped-query attention are off by 5 to 60 times.",
        "DeepSeek V3: 576 against 40960 elements", "gpustack/gguf-parser-go#8"},
};

} // namespace

std::span<const Law> laws() {
  return k_laws;
}

} // namespace mla_scale::scale
