#include "weight_checks.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::audit {
namespace {

using model::MlaConfig;
using model::Sourced;

std::string file_name(const MlaConfig& config) {
  return escape_control(std::filesystem::path(config.source).filename().string());
}

std::string shown(const json::Value& value) {
  return escape_control(value.excerpt(60));
}

/// GGUF stores float32, so equal values differ by its rounding.
bool near(double left, double right) {
  return std::abs(left - right) <= 1e-6 * std::max(std::abs(left), std::abs(right));
}

template <typename T>
void compare(std::string_view rule, std::string_view key, const Sourced<T>& mine,
             const Sourced<T>& theirs, const std::string& other_file, std::vector<RuledHit>& hits) {
  const bool both =
      mine && theirs && mine.was_read() && theirs.origin.kind != model::Origin::Kind::defaulted;
  if (both && !near(static_cast<double>(*mine), static_cast<double>(*theirs))) {
    hits.push_back({rule, Hit{fmt::format("{} is {} here and {} in {}", key,
                                          format_number(static_cast<double>(*mine)),
                                          format_number(static_cast<double>(*theirs)), other_file),
                              mine.origin.pointer,
                              mine.origin.position,
                              {}}});
  }
}

} // namespace

std::vector<RuledHit> check_sibling_config(const MlaConfig& config, const MlaConfig& other) {
  std::vector<RuledHit> hits;
  const std::string file = file_name(other);
  const model::Dims& mine = config.dims;
  const model::Dims& theirs = other.dims;
  compare("MLA411", "num_attention_heads", mine.num_attention_heads, theirs.num_attention_heads,
          file, hits);
  compare("MLA411", "hidden_size", mine.hidden_size, theirs.hidden_size, file, hits);
  compare("MLA411", "q_lora_rank", mine.q_lora_rank, theirs.q_lora_rank, file, hits);
  compare("MLA411", "kv_lora_rank", mine.kv_lora_rank, theirs.kv_lora_rank, file, hits);
  compare("MLA411", "qk_nope_head_dim", mine.qk_nope_head_dim, theirs.qk_nope_head_dim, file, hits);
  compare("MLA411", "qk_rope_head_dim", mine.qk_rope_head_dim, theirs.qk_rope_head_dim, file, hits);
  compare("MLA411", "v_head_dim", mine.v_head_dim, theirs.v_head_dim, file, hits);
  const model::Rope& rope = config.rope;
  compare("MLA412", "rope_theta", rope.theta, other.rope.theta, file, hits);
  compare("MLA412", "factor", rope.factor, other.rope.factor, file, hits);
  compare("MLA412", "original_max_position_embeddings", rope.original_max_position_embeddings,
          other.rope.original_max_position_embeddings, file, hits);
  compare("MLA412", "beta_fast", rope.beta_fast, other.rope.beta_fast, file, hits);
  compare("MLA412", "beta_slow", rope.beta_slow, other.rope.beta_slow, file, hits);
  compare("MLA412", "mscale_all_dim", rope.mscale_all_dim, other.rope.mscale_all_dim, file, hits);
  const Result<scale::SoftmaxScale> first = scale::derive_softmax_scale(config);
  const Result<scale::SoftmaxScale> second = scale::derive_softmax_scale(other);
  if (hits.empty() && first && second && !near(first->prefill, second->prefill)) {
    hits.push_back({"MLA413", Hit{fmt::format("the softmax scale is {} by this file and {} by {}",
                                              format_number(first->prefill),
                                              format_number(second->prefill), file),
                                  rope.container_pointer,
                                  rope.type.origin.position,
                                  {}}});
  }
  return hits;
}

std::vector<RuledHit> check_generation(const MlaConfig& config, const json::Value& generation) {
  std::vector<RuledHit> hits;
  const std::optional<json::Value> length = generation.find("max_length");
  const Sourced<std::int64_t>& limit = config.dims.max_position_embeddings;
  const std::int64_t wanted = length ? length->as_integer().value_or(0) : 0;
  if (limit.was_read() && wanted > *limit) {
    hits.push_back({"MLA414", Hit{fmt::format("generation_config.json has max_length {}, beyond "
                                              "max_position_embeddings {}",
                                              wanted, *limit),
                                  limit.origin.pointer,
                                  limit.origin.position,
                                  {}}});
  }
  return hits;
}

std::vector<RuledHit> check_quantization(const MlaConfig& config, const json::Value& sidecar) {
  std::vector<RuledHit> hits;
  const std::optional<json::Value> mine = config.document->root().find("quantization_config");
  const std::optional<json::Value> theirs = sidecar.find("quantization");
  if (!mine || !mine->is_object() || !theirs || !theirs->is_object()) {
    return hits;
  }
  const std::optional<json::Value> my_kind = mine->find("quant_algo");
  const std::optional<json::Value> their_kind = theirs->find("quant_algo");
  if (my_kind && their_kind && my_kind->is_string() && their_kind->is_string()
      && *my_kind->as_string() != *their_kind->as_string()) {
    hits.push_back(
        {"MLA415", Hit{fmt::format("quant_algo is {} here and {} in hf_quant_config.json",
                                   shown(*my_kind), shown(*their_kind)),
                       my_kind->pointer(),
                       my_kind->position(),
                       {}}});
  }
  const auto quantised = [](const std::optional<json::Value>& value) {
    return value && !value->is_null();
  };
  const bool here =
      quantised(mine->find("kv_cache_scheme")) || quantised(mine->find("kv_cache_quant_algo"));
  const bool there = quantised(theirs->find("kv_cache_quant_algo"));
  if (here != there) {
    hits.push_back({"MLA416", Hit{fmt::format("the KV cache is quantised by {} only",
                                              here ? "this file" : "hf_quant_config.json"),
                                  mine->pointer(),
                                  mine->position(),
                                  {}}});
  }
  return hits;
}

} // namespace mla_scale::audit
