#pragma once

#include <mla_scale/core/result.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace mla_scale::audit {

/// One tensor as a safetensors header describes it.
struct WeightShape {
  std::string name;
  std::string file;
  std::string dtype;
  std::vector<std::int64_t> shape;

  /// True for dtypes that hold one number an element; packed ones hide the real shape.
  [[nodiscard]] bool is_unpacked() const;
};

/// The attention tensors of one MLA layer, by their role. Roles without a tensor are empty.
struct LayerWeights {
  std::string prefix; ///< "model.layers.0.self_attn."
  WeightShape kv_a;
  WeightShape kv_a_norm;
  WeightShape kv_b;
  WeightShape q_a;
  WeightShape q_a_norm;
  WeightShape q_b;
  WeightShape q;
  WeightShape o;
  std::vector<WeightShape> scales; ///< weight_scale_inv tensors beside them
};

struct AttentionWeights {
  std::vector<LayerWeights> layers;        ///< by number, whatever the order of the headers
  std::vector<std::string> missing_shards; ///< named by the index, not in the directory; sorted
};

/// Reads the shapes of every layer that has kv_a_proj or kv_b_proj from the headers of the
/// safetensors files in `directory`, whose file names are `names` (sorted).
///
/// With an index only the shards that hold such a layer's attention are opened, and of those only
/// the headers, so the size of the weights does not matter. Names of HuggingFace, of DeepSeek's
/// inference code and of Mistral are known. No layers when there are no weights. Errors:
/// unreadable, syntax, schema for a broken index or header, and for a shard outside the directory.
[[nodiscard]] Result<AttentionWeights>
read_attention_weights(const std::filesystem::path& directory,
                       const std::vector<std::string>& names);

} // namespace mla_scale::audit
