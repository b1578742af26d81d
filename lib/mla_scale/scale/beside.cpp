#include "parts.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::scale {

using model::MlaConfig;
using model::ScaleRule;

void set_beside(const MlaConfig& config, SoftmaxScale& scale) {
  const model::Extras& extras = config.extras;
  const auto rank_factor = [&](const model::Sourced<std::int64_t>& rank) {
    return std::sqrt(static_cast<double>(config.dims.hidden_size.value_or(0))
                     / static_cast<double>(*rank));
  };
  if (extras.mla_scale_q_lora.value_or(false) && config.dims.q_lora_rank
      && config.dims.hidden_size) {
    scale.beside.push_back(fmt::format("q is multiplied by sqrt(hidden_size / q_lora_rank) = {}",
                                       format_number(rank_factor(config.dims.q_lora_rank))));
  }
  if (extras.mla_scale_kv_lora.value_or(false) && config.dims.hidden_size
      && config.dims.kv_lora_rank) {
    scale.beside.push_back(
        fmt::format("the latent (not k_pe) is multiplied by sqrt(hidden_size / kv_lora_rank) = {}",
                    format_number(rank_factor(config.dims.kv_lora_rank))));
  }
  if (extras.llama_4_beta && extras.llama_4_original) {
    scale.beside.push_back(
        fmt::format("llama_4_scaling: q is multiplied by 1 + {} * ln(1 + floor(position / {}))",
                    format_number(*extras.llama_4_beta), format_number(*extras.llama_4_original)));
  } else if (config.family->rule == ScaleRule::mistral && !extras.llama_4_beta) {
    scale.beside.push_back(
        "llama_4_scaling is not in this file; published models of this family have it");
  }
  const bool told =
      config.family->lora_scales_by_default || config.family->rule == ScaleRule::mistral;
  if (!config.family->beside.empty() && !told) {
    scale.beside.emplace_back(config.family->beside);
  }
  if (extras.index_topk && config.family->beside.find("indexer") == std::string_view::npos) {
    scale.beside.emplace_back("a sparse indexer chooses the keys");
  }
}

} // namespace mla_scale::scale
