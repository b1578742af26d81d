#include "python_files.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/hook/hook.hpp>

#include <algorithm>
#include <vector>

namespace mla_scale::hook {

std::span<const Hook> hooks() {
  static const Hook k_hooks[] = {
      {"transformers",
       "q, k, v, out; kv_c, k_pe, kv_b_proj; q_pre, k_pe_pre and positions; lse where the kernel "
       "returns one; by wrapping the attention function in use, scaled_dot_product_attention and "
       "the model's rotary functions",
       "transformers 5.17 with PyTorch 2.11 on an H100", transformers_python()},
      {"vllm",
       "prefill and decode: q, out; kv_c and k_pe, those of earlier tokens from the paged cache; "
       "w_uk, w_uv; k, v and lse of a prefill without context; by wrapping "
       "MLAAttention.forward_impl or MLACommonImpl.forward",
       "stand-ins of the same signatures; not yet vLLM itself", vllm_python()},
      {"sglang",
       "prefill: q, k, v, out, lse; absorbed prefill and decode: q, out, kv_c and k_pe from the "
       "token pool, w_uk, w_uv; by wrapping DeepseekV2AttentionMLA.forward and "
       "RadixAttention.forward",
       "stand-ins of the same signatures; not yet SGLang itself", sglang_python()},
  };
  return k_hooks;
}

const Hook* find_hook(std::string_view engine) {
  const std::span<const Hook> rows = hooks();
  const auto found = std::ranges::find(rows, engine, &Hook::engine);
  return found == rows.end() ? nullptr : &*found;
}

std::string_view nearest_hook(std::string_view engine) {
  std::vector<std::string_view> names;
  for (const Hook& hook : hooks()) {
    names.push_back(hook.engine);
  }
  return closest_match(engine, names);
}

} // namespace mla_scale::hook
