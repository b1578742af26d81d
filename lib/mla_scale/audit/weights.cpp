#include "weights.hpp"

#include "weight_names.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>

namespace mla_scale::audit {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_largest_index = std::size_t{256} << 20;
constexpr std::uint64_t k_largest_header = std::uint64_t{100} << 20; // the bound of safetensors

using Layers = std::map<std::string, LayerWeights, ByNumber>;

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
  Result<json::Document> header =
      json::Document::parse(std::move(text->erase(0, 8)), path.string(), limits);
  if (header && !header->root().is_object()) {
    return header->root().error(
        fmt::format("the header of a safetensors file is an object, but {} stands here",
                    header->root().excerpt()));
  }
  return header;
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

/// Takes the attention tensors from one header. Of two tensors in the same role the first counts.
Result<void> take_tensors(const fs::path& path, const json::Value& header, Layers& layers) {
  for (std::optional<json::Value> tensor = header.first(); tensor; tensor = tensor->next()) {
    const std::optional<WeightName> name = parse_weight_name(tensor->key());
    if (!name) {
      continue;
    }
    Result<WeightShape> shape = shape_of(*tensor, path);
    if (!shape) {
      return shape.error();
    }
    LayerWeights& layer = layers[std::string(name->prefix)];
    WeightShape& place = layer.*name->role;
    if (name->is_scale) {
      layer.scales.push_back(*std::move(shape));
    } else if (place.name.empty()) {
      place = *std::move(shape);
    }
  }
  return {};
}

/// The layers that are MLA, in order.
std::vector<LayerWeights> mla_layers(Layers layers) {
  std::vector<LayerWeights> result;
  for (auto& [prefix, layer] : layers) {
    if (!layer.kv_a.name.empty() || !layer.kv_b.name.empty()) {
      layer.prefix = prefix;
      result.push_back(std::move(layer));
    }
  }
  return result;
}

/// The name of a shard in an index. Error: schema when it is no string, or leaves the directory,
/// as no index of the format does: what is read would not belong to the model.
Result<std::string> shard_of(const json::Value& entry) {
  const Result<std::string_view> name = entry.as_string();
  if (!name) {
    return name.error();
  }
  const fs::path path(*name);
  if (path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end()) {
    return entry.error(fmt::format("the shard {} is refused: it lies outside the directory of the "
                                   "index, whose shards stand beside it",
                                   entry.excerpt()));
  }
  return std::string(*name);
}

/// The shards that hold attention of MLA layers by the index, sorted.
Result<std::set<std::string>> attention_shards(const json::Value& index) {
  const std::optional<json::Value> map = index.find("weight_map");
  if (!map || !map->is_object()) {
    return index.error("an index of safetensors shards has no weight_map");
  }
  std::set<std::string_view> mla;
  std::vector<std::pair<std::string_view, std::string>> shards; // with the layer's prefix
  for (std::optional<json::Value> entry = map->first(); entry; entry = entry->next()) {
    Result<std::string> shard = shard_of(*entry);
    if (!shard) {
      return shard.error();
    }
    if (const std::optional<WeightName> name = parse_weight_name(entry->key())) {
      shards.emplace_back(name->prefix, *std::move(shard));
      if (name->tells_mla()) {
        mla.insert(name->prefix);
      }
    }
  }
  std::set<std::string> result;
  for (auto& [prefix, shard] : shards) {
    if (mla.contains(prefix)) {
      result.insert(std::move(shard));
    }
  }
  return result;
}

Result<AttentionWeights> read_sharded(const fs::path& directory, const std::string& index_name) {
  const Result<json::Document> index = parse_file(directory / index_name, k_largest_index);
  if (!index) {
    return index.error();
  }
  const Result<std::set<std::string>> shards = attention_shards(index->root());
  if (!shards) {
    return shards.error();
  }
  AttentionWeights weights;
  Layers layers;
  for (const std::string& shard : *shards) {
    std::error_code ignored;
    if (!fs::exists(directory / shard, ignored)) {
      weights.missing_shards.push_back(shard);
      continue;
    }
    const Result<json::Document> header = read_header(directory / shard);
    if (!header) {
      return header.error();
    }
    if (const Result<void> taken = take_tensors(directory / shard, header->root(), layers);
        !taken) {
      return taken.error();
    }
  }
  weights.layers = mla_layers(std::move(layers));
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
      return read_sharded(directory, name);
    }
  }
  Layers layers;
  for (const std::string& name : names) {
    if (!name.ends_with(".safetensors")) {
      continue;
    }
    const Result<json::Document> header = read_header(directory / name);
    if (!header) {
      return header.error();
    }
    if (const Result<void> taken = take_tensors(directory / name, header->root(), layers); !taken) {
      return taken.error();
    }
  }
  AttentionWeights weights;
  weights.layers = mla_layers(std::move(layers));
  return weights;
}

} // namespace mla_scale::audit
