#include "weights.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <utility>

namespace mla_scale::audit {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_largest_index = std::size_t{256} << 20;
constexpr std::uint64_t k_largest_header = std::uint64_t{100} << 20; // the bound of safetensors

/// The role of a tensor and the names that it goes by: those of HuggingFace, of DeepSeek's
/// inference code and of Mistral.
struct Role {
  WeightShape LayerWeights::*place;
  std::array<std::string_view, 3> names;
};

constexpr std::array k_roles = {
    Role{&LayerWeights::kv_a, {"kv_a_proj_with_mqa", "wkv_a", "wkv_a_with_mqa"}},
    Role{&LayerWeights::kv_a_norm, {"kv_a_layernorm", "kv_norm", "kv_a_norm"}},
    Role{&LayerWeights::kv_b, {"kv_b_proj", "wkv_b", "wkv_b"}},
    Role{&LayerWeights::q_a, {"q_a_proj", "wq_a", "wq_a"}},
    Role{&LayerWeights::q_a_norm, {"q_a_layernorm", "q_norm", "q_a_norm"}},
    Role{&LayerWeights::q_b, {"q_b_proj", "wq_b", "wq_b"}},
    Role{&LayerWeights::q, {"q_proj", "wq", "wq"}},
    Role{&LayerWeights::o, {"o_proj", "wo", "wo"}},
};

/// What the name of an attention tensor says.
struct Name {
  std::string_view prefix; ///< up to and with the last dot before the role
  const Role* role;
  bool is_scale;

  /// Other attention has a query and an output too; only MLA compresses keys and values.
  [[nodiscard]] bool tells_mla() const {
    return !is_scale && (role->place == &LayerWeights::kv_a || role->place == &LayerWeights::kv_b);
  }
};

std::optional<Name> parse_name(std::string_view name) {
  constexpr std::string_view k_weight = ".weight";
  constexpr std::string_view k_scale = ".weight_scale_inv";
  const bool is_scale = name.ends_with(k_scale);
  if (!is_scale && !name.ends_with(k_weight)) {
    return std::nullopt;
  }
  name.remove_suffix(is_scale ? k_scale.size() : k_weight.size());
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) {
    return std::nullopt;
  }
  for (const Role& role : k_roles) {
    if (std::find(role.names.begin(), role.names.end(), name.substr(dot + 1)) != role.names.end()) {
      return Name{name.substr(0, dot + 1), &role, is_scale};
    }
  }
  return std::nullopt;
}

/// Orders "layers.9." before "layers.10.": runs of digits are compared as numbers.
struct ByNumber {
  using is_transparent = void;
  bool operator()(std::string_view left, std::string_view right) const {
    const auto digits = [](std::string_view text) {
      return std::min(text.find_first_not_of("0123456789"), text.size());
    };
    while (!left.empty() && !right.empty()) {
      const std::size_t mine = digits(left);
      const std::size_t theirs = digits(right);
      if (mine != theirs && mine != 0 && theirs != 0) {
        return mine < theirs;
      }
      if (left.front() != right.front()) {
        return left.front() < right.front();
      }
      left.remove_prefix(1);
      right.remove_prefix(1);
    }
    return left.size() < right.size();
  }
};

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
    const std::optional<Name> name = parse_name(tensor->key());
    if (!name) {
      continue;
    }
    Result<WeightShape> shape = shape_of(*tensor, path);
    if (!shape) {
      return shape.error();
    }
    LayerWeights& layer = layers[std::string(name->prefix)];
    WeightShape& place = layer.*name->role->place;
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
    if (const std::optional<Name> name = parse_name(entry->key())) {
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
