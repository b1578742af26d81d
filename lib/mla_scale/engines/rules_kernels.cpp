#include <mla_scale/engines/rule_tables.hpp>

namespace mla_scale::engines {
namespace {

constexpr EngineRule k_kernels_rules[] = {
    {.id = "flashmla-default",
     .name = "FlashMLA, no softmax_scale passed",
     .versions = "@9241ae3e",
     .key = Key::none,
     .cos_sin = CosSin::unknown,
     .decode = {.width = Width::latent_dim},
     .formula = "q.shape[-1]^-1/2: latent_dim in decode, qk_head_dim in dense prefill",
     .note = "the sparse kernels have no default",
     .source = "deepseek-ai/FlashMLA flash_mla/flash_mla_interface.py@9241ae3e L112, L232"},
    {.id = "aiter-default",
     .name = "aiter, no sm_scale passed",
     .versions = "@e4048607",
     .key = Key::none,
     .cos_sin = CosSin::unknown,
     .prefill = {.width = Width::latent_dim},
     .decode = {.width = Width::latent_dim},
     .formula = "1/sqrt(last dimension of the cache): latent_dim in mla_decode_fwd and "
                "mla_prefill_fwd",
     .source = "ROCm/aiter aiter/mla.py@e4048607 L467, L1161"},
    {.id = "aiter-default@ps",
     .name = "aiter mla_prefill_ps_fwd, no scale passed",
     .versions = "@e4048607",
     .key = Key::none,
     .cos_sin = CosSin::unknown,
     .prefill = {.width = Width::v_head_dim},
     .decode = {.width = Width::latent_dim},
     .formula = "1/sqrt(v_head_dim)",
     .source = "ROCm/aiter aiter/mla.py@e4048607 L1214"},
    {.id = "flashinfer-default",
     .name = "FlashInfer, no scale passed",
     .versions = "@fb28d724",
     .key = Key::none,
     .cos_sin = CosSin::unknown,
     .decode = {.width = Width::one},
     .formula = "prefill 1/sqrt(head_dim_qk); decode 1 (bmm1_scale of "
                "trtllm_batch_decode_with_kv_cache_mla)",
     .note = "BatchMLAPagedAttentionWrapper.plan has no default for sm_scale",
     .source = "flashinfer-ai/flashinfer flashinfer/mla/_core.py@fb28d724"},
};

} // namespace

std::span<const EngineRule> kernel_rules() {
  return k_kernels_rules;
}

} // namespace mla_scale::engines
