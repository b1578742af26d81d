#include "weight_checks.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

namespace mla_scale::audit {
namespace {

using model::Dims;
using model::Sourced;

/// What is wrong with one tensor of one layer.
struct LayerHit {
  std::string tensor; ///< without the layer: "kv_b_proj.weight"
  RuledHit ruled;
};

using LayerHits = std::vector<LayerHit>;

/// Adds a hit at the key that `origin` names.
void add(LayerHits& hits, std::string_view rule, const LayerWeights& layer,
         const WeightShape& weight, std::string message, const model::Origin& origin) {
  hits.push_back({weight.name.substr(layer.prefix.size()),
                  {rule, Hit{fmt::format("{} in {} {}", escape_control(weight.name),
                                         escape_control(weight.file), message),
                             origin.pointer,
                             origin.position,
                             {}}}});
}

/// One extent of a tensor, and which key says so.
struct Extent {
  std::int64_t size; ///< 0: not known
  std::string from;
  const Sourced<std::int64_t>& key;
};

/// What a tensor's shape has to be: two extents, or one for the weight of a norm.
struct Expected {
  std::string_view rule;
  WeightShape LayerWeights::*weight;
  std::vector<Extent> shape;
};

std::vector<Expected> expected_shapes(const Dims& dims) {
  const std::int64_t heads = *dims.num_attention_heads;
  const Extent hidden{dims.hidden_size.value_or(0), "hidden_size", dims.hidden_size};
  const Extent latent{*dims.kv_lora_rank, "kv_lora_rank", dims.kv_lora_rank};
  const Extent q_rows{
      heads * *dims.qk_head_dim,
      fmt::format("num_attention_heads {} * qk_head_dim {}", heads, *dims.qk_head_dim),
      dims.qk_nope_head_dim};
  std::vector<Expected> expected = {
      {"MLA401",
       &LayerWeights::kv_a,
       {{*dims.latent_dim,
         fmt::format("kv_lora_rank {} + qk_rope_head_dim {}", *dims.kv_lora_rank,
                     *dims.qk_rope_head_dim),
         dims.kv_lora_rank},
        hidden}},
      {"MLA401", &LayerWeights::kv_a_norm, {latent}},
      {"MLA402",
       &LayerWeights::kv_b,
       {{heads * (*dims.qk_nope_head_dim + *dims.v_head_dim),
         fmt::format("num_attention_heads {} * (qk_nope_head_dim {} + v_head_dim {})", heads,
                     *dims.qk_nope_head_dim, *dims.v_head_dim),
         dims.qk_nope_head_dim},
        latent}},
      {"MLA404",
       &LayerWeights::o,
       {hidden, {heads * *dims.v_head_dim, "num_attention_heads * v_head_dim", dims.v_head_dim}}},
  };
  if (dims.q_lora_rank) {
    const Extent rank{*dims.q_lora_rank, "q_lora_rank", dims.q_lora_rank};
    expected.push_back({"MLA405", &LayerWeights::q_a, {rank, hidden}});
    expected.push_back({"MLA405", &LayerWeights::q_a_norm, {rank}});
    expected.push_back({"MLA403", &LayerWeights::q_b, {q_rows, rank}});
  } else {
    expected.push_back({"MLA403", &LayerWeights::q, {q_rows, hidden}});
  }
  return expected;
}

bool fits(const Extent& extent, std::int64_t size) {
  return extent.size == 0 || extent.size == size;
}

std::string shown(const std::vector<Extent>& shape) {
  std::string sizes;
  std::string reasons;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::string_view what = shape.size() == 1 ? "elements" : i == 0 ? "rows" : "columns";
    sizes += (i == 0 ? "" : ", ")
             + (shape[i].size == 0 ? std::string("*") : fmt::format("{}", shape[i].size));
    reasons += fmt::format("{}{} {}", i == 0 ? "" : ", ", shape[i].from, what);
  }
  return fmt::format("[{}]: {}", sizes, reasons);
}

void check_shape(const Expected& expected, const LayerWeights& layer, LayerHits& hits) {
  const WeightShape& weight = layer.*expected.weight;
  if (weight.name.empty() || !weight.is_unpacked()) {
    return;
  }
  const bool same_rank = weight.shape.size() == expected.shape.size();
  std::size_t wrong = 0;
  while (same_rank && wrong < expected.shape.size()
         && fits(expected.shape[wrong], weight.shape[wrong])) {
    ++wrong;
  }
  if (wrong == expected.shape.size()) {
    return;
  }
  add(hits, expected.rule, layer, weight,
      fmt::format("has the shape [{}], expected {}", fmt::join(weight.shape, ", "),
                  shown(expected.shape)),
      expected.shape[wrong].key.origin);
}

void check_compression(const Dims& dims, const LayerWeights& layer, LayerHits& hits) {
  const bool has_rank = static_cast<bool>(dims.q_lora_rank);
  const WeightShape& other = has_rank ? layer.q : layer.q_b;
  const WeightShape& meant = has_rank ? layer.q_b : layer.q;
  if (!other.name.empty() && meant.name.empty()) {
    add(hits, "MLA405", layer, other,
        has_rank ? fmt::format("is there, but q_lora_rank is {}", *dims.q_lora_rank)
                 : "is there, but q_lora_rank says that q is not compressed",
        dims.q_lora_rank.origin);
  }
}

constexpr std::string_view k_block_size = "/quantization_config/weight_block_size";

std::pair<std::int64_t, std::int64_t> block_size(const std::optional<json::Value>& block) {
  const auto first = block && block->is_array() ? block->first() : std::nullopt;
  const auto second = first ? first->next() : std::nullopt;
  const std::int64_t rows = first ? first->as_integer().value_or(128) : 128;
  const std::int64_t columns = second ? second->as_integer().value_or(128) : 128;
  return {rows > 0 ? rows : 128, columns > 0 ? columns : 128};
}

/// How many blocks cover `size`; headers may hold any number, so nothing is added to it.
std::int64_t blocks_in(std::int64_t size, std::int64_t block) {
  return size / block + (size % block == 0 ? 0 : 1);
}

void check_scales(const model::MlaConfig& config, const LayerWeights& layer, LayerHits& hits) {
  const std::optional<json::Value> block = json::resolve(config.document->root(), k_block_size);
  const auto [block_rows, block_columns] = block_size(block);
  const model::Origin blocks{model::Origin::Kind::absent,
                             {},
                             std::string(k_block_size),
                             block ? block->position() : Position{},
                             {}};
  for (const WeightShape& scale : layer.scales) {
    for (const WeightShape* weight :
         {&layer.kv_a, &layer.kv_b, &layer.q_a, &layer.q_b, &layer.q, &layer.o}) {
      if (weight->shape.size() != 2 || scale.shape.size() != 2
          || scale.name != weight->name + "_scale_inv") {
        continue;
      }
      const std::int64_t rows = blocks_in(weight->shape[0], block_rows);
      const std::int64_t columns = blocks_in(weight->shape[1], block_columns);
      if (scale.shape[0] != rows || scale.shape[1] != columns) {
        add(hits, "MLA406", layer, scale,
            fmt::format("has the shape [{}], expected [{}, {}] for blocks of {} x {}",
                        fmt::join(scale.shape, ", "), rows, columns, block_rows, block_columns),
            blocks);
      }
    }
  }
}

/// The dims that a layer can have: the model's, and those of its sliding layers where they have
/// their own (swa_kv_lora_rank and the like). Which layer slides is told differently by each model,
/// so either may fit.
std::vector<Dims> dims_of_layers(const model::MlaConfig& config) {
  struct Key {
    std::string_view name;
    Sourced<std::int64_t> Dims::*place;
  };
  Dims sliding = config.dims;
  bool differ = false;
  const auto scope = json::resolve(config.document->root(), config.text_pointer);
  for (const Key& key :
       {Key{"swa_num_attention_heads", &Dims::num_attention_heads},
        Key{"swa_q_lora_rank", &Dims::q_lora_rank}, Key{"swa_kv_lora_rank", &Dims::kv_lora_rank},
        Key{"swa_qk_nope_head_dim", &Dims::qk_nope_head_dim},
        Key{"swa_qk_rope_head_dim", &Dims::qk_rope_head_dim},
        Key{"swa_v_head_dim", &Dims::v_head_dim}}) {
    const auto value = scope ? scope->find(key.name) : std::nullopt;
    if (const std::int64_t size = value ? value->as_integer().value_or(0) : 0; size > 0) {
      sliding.*key.place = {
          size,
          {model::Origin::Kind::read, value->path(), value->pointer(), value->position(), {}}};
      differ = true;
    }
  }
  if (!differ) {
    return {config.dims};
  }
  sliding.qk_head_dim.value = *sliding.qk_nope_head_dim + *sliding.qk_rope_head_dim;
  sliding.latent_dim.value = *sliding.kv_lora_rank + *sliding.qk_rope_head_dim;
  return {config.dims, sliding};
}

LayerHits check_layer(const Dims& dims, const LayerWeights& layer) {
  LayerHits hits;
  for (const Expected& expected : expected_shapes(dims)) {
    check_shape(expected, layer, hits);
  }
  check_compression(dims, layer, hits);
  return hits;
}

/// Layers are alike, and so are their faults: one finding stands for a tensor in all of them.
class Tally {
public:
  void add(LayerHit hit) {
    std::pair<std::string_view, std::string> key(hit.ruled.rule, std::move(hit.tensor));
    const auto entry = m_hits.try_emplace(std::move(key), Entry{std::move(hit.ruled), 0}).first;
    ++entry->second.layers;
  }

  [[nodiscard]] std::vector<RuledHit> take(std::size_t layers) {
    std::vector<RuledHit> result;
    for (auto& [key, entry] : m_hits) {
      if (layers > 1) {
        entry.first.hit.message += fmt::format(" (in {} of {} layers)", entry.layers, layers);
      }
      result.push_back(std::move(entry.first));
    }
    return result;
  }

private:
  struct Entry {
    RuledHit first;
    std::size_t layers;
  };
  std::map<std::pair<std::string_view, std::string>, Entry> m_hits; // by rule and tensor
};

} // namespace

std::vector<RuledHit> check_weights(const model::MlaConfig& config,
                                    const AttentionWeights& weights) {
  if (weights.layers.empty() && weights.missing_shards.empty()) {
    return {}; // a config without its weights
  }
  Tally tally;
  const std::vector<Dims> dims = dims_of_layers(config);
  for (const LayerWeights& layer : weights.layers) {
    LayerHits hits = check_layer(dims.front(), layer);
    if (!hits.empty() && dims.size() > 1) {
      LayerHits others = check_layer(dims.back(), layer);
      hits = others.size() < hits.size() ? std::move(others) : std::move(hits);
    }
    check_scales(config, layer, hits);
    for (LayerHit& hit : hits) {
      tally.add(std::move(hit));
    }
  }
  std::vector<RuledHit> hits = tally.take(weights.layers.size());
  if (!weights.missing_shards.empty()) {
    const std::size_t more = weights.missing_shards.size() - 1;
    hits.push_back(
        {"MLA407",
         Hit{fmt::format("{} holds attention by the index, and is not there{}",
                         escape_control(weights.missing_shards.front()),
                         more == 0 ? "" : fmt::format("; nor are {} more such shards", more)),
             {},
             {},
             {}}});
  }
  return hits;
}

} // namespace mla_scale::audit
