#include "weight_checks.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mla_scale::audit {
namespace {

using model::Dims;
using model::Sourced;

/// What a tensor's shape has to be, and which keys say so.
struct Expected {
  std::string_view rule;
  const WeightShape& weight;
  std::int64_t rows;
  std::int64_t columns; ///< 0: not known
  std::string rows_from;
  std::string_view columns_from;
  const Sourced<std::int64_t>& row_key;
  const Sourced<std::int64_t>& column_key;
};

void check_shape(const Expected& expected, std::vector<RuledHit>& hits) {
  const WeightShape& weight = expected.weight;
  if (weight.name.empty() || !weight.is_unpacked()) {
    return;
  }
  const bool matrix = weight.shape.size() == 2;
  const bool rows_fit = matrix && weight.shape[0] == expected.rows;
  const bool columns_fit = matrix && (expected.columns == 0 || weight.shape[1] == expected.columns);
  if (rows_fit && columns_fit) {
    return;
  }
  const model::Origin& origin = rows_fit ? expected.column_key.origin : expected.row_key.origin;
  hits.push_back(
      {expected.rule, Hit{fmt::format("{} in {} has the shape [{}], expected [{}, {}]: {} rows, {} "
                                      "columns",
                                      escape_control(weight.name), escape_control(weight.file),
                                      fmt::join(weight.shape, ", "), expected.rows,
                                      expected.columns, expected.rows_from, expected.columns_from),
                          origin.pointer,
                          origin.position,
                          {}}});
}

void check_compression(const Dims& dims, const AttentionWeights& weights,
                       std::vector<RuledHit>& hits) {
  const bool has_rank = static_cast<bool>(dims.q_lora_rank);
  const WeightShape& other = has_rank ? weights.q : weights.q_b;
  const WeightShape& meant = has_rank ? weights.q_b : weights.q;
  if (!other.name.empty() && meant.name.empty()) {
    hits.push_back(
        {"MLA405", Hit{fmt::format("{} in {} is there, but q_lora_rank {}",
                                   escape_control(other.name), escape_control(other.file),
                                   has_rank ? fmt::format("is {}", *dims.q_lora_rank)
                                            : "says that q is not compressed"),
                       dims.q_lora_rank.origin.pointer,
                       dims.q_lora_rank.origin.position,
                       {}}});
  }
}

std::pair<std::int64_t, std::int64_t> block_size(const model::MlaConfig& config) {
  const auto quantization = config.document->root().find("quantization_config");
  const auto block = quantization ? quantization->find("weight_block_size") : std::nullopt;
  const auto first = block && block->is_array() ? block->first() : std::nullopt;
  const auto second = first ? first->next() : std::nullopt;
  const std::int64_t rows = first ? first->as_integer().value_or(128) : 128;
  const std::int64_t columns = second ? second->as_integer().value_or(128) : 128;
  return {rows > 0 ? rows : 128, columns > 0 ? columns : 128};
}

void check_scales(const model::MlaConfig& config, const AttentionWeights& weights,
                  std::vector<RuledHit>& hits) {
  const auto [block_rows, block_columns] = block_size(config);
  for (const WeightShape& scale : weights.scales) {
    for (const WeightShape* weight :
         {&weights.kv_a, &weights.kv_b, &weights.q_b, &weights.q, &weights.o}) {
      if (weight->shape.size() != 2 || scale.shape.size() != 2
          || scale.name != weight->name + "_scale_inv") {
        continue;
      }
      const std::int64_t rows = (weight->shape[0] + block_rows - 1) / block_rows;
      const std::int64_t columns = (weight->shape[1] + block_columns - 1) / block_columns;
      if (scale.shape[0] != rows || scale.shape[1] != columns) {
        hits.push_back(
            {"MLA406", Hit{fmt::format("{} in {} has the shape [{}], expected [{}, {}] for blocks "
                                       "of {} x {}",
                                       escape_control(scale.name), escape_control(scale.file),
                                       fmt::join(scale.shape, ", "), rows, columns, block_rows,
                                       block_columns),
                           "/quantization_config/weight_block_size",
                           {},
                           {}}});
      }
    }
  }
}

} // namespace

std::vector<RuledHit> check_weights(const model::MlaConfig& config,
                                    const AttentionWeights& weights) {
  std::vector<RuledHit> hits;
  const Dims& dims = config.dims;
  const std::int64_t heads = *dims.num_attention_heads;
  const std::int64_t hidden = dims.hidden_size.value_or(0);
  check_shape({"MLA401", weights.kv_a, *dims.latent_dim, hidden,
               fmt::format("kv_lora_rank {} + qk_rope_head_dim {}", *dims.kv_lora_rank,
                           *dims.qk_rope_head_dim),
               "hidden_size", dims.kv_lora_rank, dims.hidden_size},
              hits);
  check_shape({"MLA402", weights.kv_b, heads * (*dims.qk_nope_head_dim + *dims.v_head_dim),
               *dims.kv_lora_rank,
               fmt::format("num_attention_heads {} * (qk_nope_head_dim {} + v_head_dim {})", heads,
                           *dims.qk_nope_head_dim, *dims.v_head_dim),
               "kv_lora_rank", dims.qk_nope_head_dim, dims.kv_lora_rank},
              hits);
  const std::string q_rows =
      fmt::format("num_attention_heads {} * qk_head_dim {}", heads, *dims.qk_head_dim);
  if (dims.q_lora_rank) {
    check_shape({"MLA403", weights.q_b, heads * *dims.qk_head_dim, *dims.q_lora_rank, q_rows,
                 "q_lora_rank", dims.qk_nope_head_dim, dims.q_lora_rank},
                hits);
  } else {
    check_shape({"MLA403", weights.q, heads * *dims.qk_head_dim, hidden, q_rows, "hidden_size",
                 dims.qk_nope_head_dim, dims.hidden_size},
                hits);
  }
  check_shape({"MLA404", weights.o,
               hidden == 0 && !weights.o.shape.empty() ? weights.o.shape[0] : hidden,
               heads * *dims.v_head_dim, "hidden_size", "num_attention_heads * v_head_dim",
               dims.hidden_size, dims.v_head_dim},
              hits);
  check_compression(dims, weights, hits);
  check_scales(config, weights, hits);
  for (const std::string& shard : weights.missing_shards) {
    hits.push_back({"MLA407", Hit{fmt::format("{} holds the attention of the first layer by the "
                                              "index, and is not there",
                                              escape_control(shard)),
                                  {},
                                  {},
                                  {}}});
  }
  return hits;
}

} // namespace mla_scale::audit
