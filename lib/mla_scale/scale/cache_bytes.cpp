#include <mla_scale/scale/softmax_scale.hpp>

namespace mla_scale::scale {

using model::MlaConfig;

std::vector<CacheBytes> cache_bytes(const MlaConfig& config) {
  struct Row {
    std::string_view dtype;
    std::int64_t bytes;
  };
  std::vector<CacheBytes> rows;
  for (const Row& row : {Row{"bf16", 2}, Row{"fp8", 1}, Row{"fp32", 4}}) {
    CacheBytes bytes;
    bytes.dtype = std::string(row.dtype);
    if (config.dims.latent_dim) {
      bytes.latent = *config.dims.latent_dim * row.bytes;
      if (config.dims.num_attention_heads) {
        bytes.expanded = *config.dims.num_attention_heads
                         * (*config.dims.qk_head_dim + *config.dims.v_head_dim) * row.bytes;
      }
    } else {
      bytes.latent = *config.dims.head_dim * row.bytes;
    }
    rows.push_back(std::move(bytes));
  }
  return rows;
}

} // namespace mla_scale::scale
