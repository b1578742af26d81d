#include "weights.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

namespace mla_scale::audit {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_largest_index = std::size_t{256} << 20;
constexpr std::uint64_t k_largest_header = std::uint64_t{100} << 20; // the bound of safetensors

/// The role of a tensor and the names that it goes by, as they follow the layer's prefix.
struct Role {
  WeightShape AttentionWeights::*place;
  std::array<std::string_view, 3> names;
};

constexpr std::array k_roles = {
    Role{&AttentionWeights::kv_b, {"kv_b_proj", "wkv_b", "wkv_b"}},
    Role{&AttentionWeights::kv_a, {"kv_a_proj_with_mqa", "wkv_a", "wkv_a_with_mqa"}},
    Role{&AttentionWeights::q_b, {"q_b_proj", "wq_b", "wq_b"}},
    Role{&AttentionWeights::q, {"q_proj", "wq", "wq"}},
    Role{&AttentionWeights::o, {"o_proj", "wo", "wo"}},
};
constexpr std::string_view k_weight = ".weight";
constexpr std::string_view k_scale = ".weight_scale_inv";

/// "model.layers.0.self_attn." of a kv_b tensor's name; nothing for any other.
std::optional<std::string> layer_prefix(std::string_view name) {
  for (const std::string_view kv_b : k_roles.front().names) {
    const std::string ending = fmt::format(".{}{}", kv_b, k_weight);
    if (name.ends_with(ending)) {
      return std::string(name.substr(0, name.size() - ending.size() + 1));
    }
  }
  return std::nullopt;
}

/// Reads a file and its JSON in one step.
Result<json::Document> parse_file(const fs::path& path, std::size_t limit) {
  Result<std::string> text = read_file(path, limit);
  if (!text) {
    return text.error();
  }
  json::Limits limits;
  limits.max_bytes = limit;
  return json::Document::parse(*std::move(text), path.string(), limits);
}

/// The header of a safetensors file: 8 bytes of length, then JSON.
Result<json::Document> read_header(const fs::path& path) {
  const Result<std::string> head = read_file_head(path, 8);
  if (!head) {
    return head.error();
  }
  std::uint64_t length = 0;
  std::error_code failed;
  const std::uint64_t size = fs::file_size(path, failed);
  if (head->size() == 8) {
    std::memcpy(&length, head->data(), 8);
  }
  if (head->size() < 8 || failed || length > size - 8 || length > k_largest_header) {
    return Error{
        ErrorKind::syntax,
        fmt::format("is no safetensors file: its header claims {} bytes of {}", length, size),
        path.string(),
        {},
        {}};
  }
  Result<std::string> text = read_file_head(path, 8 + length);
  if (!text) {
    return text.error();
  }
  json::Limits limits;
  limits.max_bytes = k_largest_header;
  return json::Document::parse(text->substr(8), path.string(), limits);
}

Result<WeightShape> shape_of(const json::Value& tensor, const fs::path& path) {
  WeightShape weight;
  weight.name = std::string(tensor.key());
  weight.file = path.filename().string();
  const std::optional<json::Value> dtype = tensor.find("dtype");
  const std::optional<json::Value> shape = tensor.find("shape");
  if (!dtype || !shape || !shape->is_array()) {
    return tensor.error("a tensor in the header lacks dtype or shape");
  }
  const Result<std::string_view> name = dtype->as_string();
  if (!name) {
    return name.error();
  }
  weight.dtype = std::string(*name);
  for (std::optional<json::Value> size = shape->first(); size; size = size->next()) {
    const Result<std::int64_t> number = size->as_integer();
    if (!number) {
      return number.error();
    }
    weight.shape.push_back(*number);
  }
  return weight;
}

/// Takes the tensors of the layer from one header.
Result<void> take_tensors(const fs::path& path, const json::Value& header,
                          const std::string& prefix, AttentionWeights& weights) {
  for (const Role& role : k_roles) {
    for (const std::string_view name : role.names) {
      const std::string stem = prefix + std::string(name);
      if (const auto tensor = header.find(stem + std::string(k_weight));
          tensor && (weights.*role.place).name.empty()) {
        Result<WeightShape> shape = shape_of(*tensor, path);
        if (!shape) {
          return shape.error();
        }
        weights.*role.place = *std::move(shape);
      }
    }
    const std::string scale = prefix + std::string(role.names.front()) + std::string(k_scale);
    if (const auto tensor = header.find(scale)) {
      Result<WeightShape> shape = shape_of(*tensor, path);
      if (!shape) {
        return shape.error();
      }
      weights.scales.push_back(*std::move(shape));
    }
  }
  return {};
}

std::optional<std::string> first_prefix(const json::Value& object) {
  for (std::optional<json::Value> member = object.first(); member; member = member->next()) {
    if (std::optional<std::string> prefix = layer_prefix(member->key())) {
      return prefix;
    }
  }
  return std::nullopt;
}

/// The shards that hold the layer's tensors.
Result<AttentionWeights> read_sharded(const fs::path& directory, const std::string& index_name,
                                      const std::vector<std::string>& names) {
  const Result<json::Document> index = parse_file(directory / index_name, k_largest_index);
  if (!index) {
    return index.error();
  }
  AttentionWeights weights;
  const std::optional<json::Value> map = index->root().find("weight_map");
  if (!map || !map->is_object()) {
    return index->root().error("an index of safetensors shards has no weight_map");
  }
  const std::optional<std::string> prefix = first_prefix(*map);
  std::vector<std::string> shards;
  for (const Role& role : k_roles) {
    for (const std::string_view name : role.names) {
      for (const std::string_view ending : {k_weight, k_scale}) {
        const auto shard =
            prefix ? map->find(*prefix + std::string(name) + std::string(ending)) : std::nullopt;
        if (shard && shard->is_string()) {
          shards.emplace_back(*shard->as_string());
        }
      }
    }
  }
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  for (const std::string& shard : shards) {
    if (!std::binary_search(names.begin(), names.end(), shard)) {
      weights.missing_shards.push_back(shard);
      continue;
    }
    const Result<json::Document> header = read_header(directory / shard);
    if (!header) {
      return header.error();
    }
    if (const Result<void> taken =
            take_tensors(directory / shard, header->root(), *prefix, weights);
        !taken) {
      return taken.error();
    }
  }
  return weights;
}

} // namespace

bool WeightShape::is_unpacked() const {
  constexpr std::string_view k_dtypes[] = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"};
  return std::find(std::begin(k_dtypes), std::end(k_dtypes), dtype) != std::end(k_dtypes);
}

Result<AttentionWeights> read_attention_weights(const fs::path& directory,
                                                const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.ends_with(".safetensors.index.json")) {
      return read_sharded(directory, name, names);
    }
  }
  AttentionWeights weights;
  std::optional<std::string> prefix;
  for (const std::string& name : names) {
    if (!name.ends_with(".safetensors")) {
      continue;
    }
    const Result<json::Document> header = read_header(directory / name);
    if (!header) {
      return header.error();
    }
    if (!prefix) {
      prefix = first_prefix(header->root());
    }
    if (!prefix) {
      continue;
    }
    if (const Result<void> taken = take_tensors(directory / name, header->root(), *prefix, weights);
        !taken) {
      return taken.error();
    }
  }
  return weights;
}

} // namespace mla_scale::audit
