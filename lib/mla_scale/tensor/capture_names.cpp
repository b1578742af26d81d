#include "capture_names.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace mla_scale::tensor {
namespace {

using Names = std::string_view;

constexpr Names k_q[] = {"query", "query_states", "q_states"};
constexpr Names k_k[] = {"key", "key_states", "k_states"};
constexpr Names k_v[] = {"value", "value_states", "v_states"};
constexpr Names k_kv_c[] = {"kv_c_normed", "compressed_kv", "latent"};
constexpr Names k_k_pe[] = {"k_rope", "k_rot"};
constexpr Names k_q_pe[] = {"q_rope", "q_rot"};
constexpr Names k_kv_b_proj[] = {"kv_b_proj.weight"};
constexpr Names k_kv_b_proj_scale[] = {"kv_b_proj.weight_scale", "kv_b_proj.weight_scale_inv"};
constexpr Names k_out[] = {"output", "o", "attn_output"};
constexpr Names k_lse[] = {"softmax_lse", "logsumexp"};
constexpr Names k_positions[] = {"position_ids"};
constexpr Names k_cu_seqlens_q[] = {"query_start_loc", "qo_indptr"};
constexpr Names k_cu_seqlens_k[] = {"cu_seqlens_kv", "kv_indptr"};
constexpr Names k_softmax_scale[] = {"sm_scale", "scale", "scaling"};
constexpr Names k_kv_scale[] = {"kv_c_scale", "kv_cache_scale", "kv_descale", "kv_scale_inv",
                                "kv.scale"};

constexpr std::array k_names = {
    CaptureName{"q", k_q},
    CaptureName{"k", k_k},
    CaptureName{"v", k_v},
    CaptureName{"kv_c", k_kv_c},
    CaptureName{"k_pe", k_k_pe},
    CaptureName{"kv_b_proj", k_kv_b_proj},
    CaptureName{"w_uk", {}},
    CaptureName{"w_uv", {}},
    CaptureName{"q_nope", {}},
    CaptureName{"q_pe", k_q_pe},
    CaptureName{"q_pre", {}},
    CaptureName{"k_pe_pre", {}},
    CaptureName{"positions_q", {}},
    CaptureName{"positions_k", {}},
    CaptureName{"positions", k_positions},
    CaptureName{"out", k_out},
    CaptureName{"lse", k_lse},
    CaptureName{"lse_base", {}},
    CaptureName{"cu_seqlens", {}},
    CaptureName{"cu_seqlens_q", k_cu_seqlens_q},
    CaptureName{"cu_seqlens_k", k_cu_seqlens_k},
    CaptureName{"softmax_scale", k_softmax_scale},
    CaptureName{"q_scale", {}},
    CaptureName{"k_scale", {}},
    CaptureName{"v_scale", {}},
    CaptureName{"kv_scale", k_kv_scale},
    CaptureName{"k_pe_scale", {}},
    CaptureName{"out_scale", {}},
    CaptureName{"kv_b_proj_scale", k_kv_b_proj_scale},
    CaptureName{"w_uk_scale", {}},
    CaptureName{"w_uv_scale", {}},
};

bool same_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view find_whole(std::string_view name) {
  for (const CaptureName& row : k_names) {
    const auto is_name = [&](std::string_view known) { return same_ignoring_case(known, name); };
    if (is_name(row.canonical) || std::ranges::any_of(row.aliases, is_name)) {
      return row.canonical;
    }
  }
  return {};
}

/// What engines append to the name of an fp8 tensor for that of its scale, longest first.
/// Sources: FlashAttention-3 (q_descale), compressed-tensors (weight_scale), DeepSeek
/// (weight_scale_inv, which multiplies too), torchao and quanto (.scale).
constexpr Names k_scale_endings[] = {"_dequant_scale", "_scale_inv", ".scale_inv", "_descale",
                                     ".descale",       "_scale",     ".scale"};

/// The canonical name of the scale of a tensor: that of "q" for "query_descale" or "q.scale".
std::string_view find_scale(std::string_view name) {
  for (const std::string_view ending : k_scale_endings) {
    if (name.size() <= ending.size()
        || !same_ignoring_case(name.substr(name.size() - ending.size()), ending)) {
      continue;
    }
    const std::string_view scaled = find_whole(name.substr(0, name.size() - ending.size()));
    return scaled.empty() ? scaled : find_whole(std::string(scaled) + "_scale");
  }
  return {};
}

} // namespace

std::span<const CaptureName> capture_names() {
  return k_names;
}

std::string_view canonical_name(std::string_view name) {
  while (true) {
    if (const std::string_view canonical = find_whole(name); !canonical.empty()) {
      return canonical;
    }
    if (const std::string_view canonical = find_scale(name); !canonical.empty()) {
      return canonical;
    }
    const std::size_t dot = name.find_first_of("./");
    if (dot == std::string_view::npos) {
      return {};
    }
    name.remove_prefix(dot + 1);
  }
}

} // namespace mla_scale::tensor
