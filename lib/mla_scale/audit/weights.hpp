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
struct AttentionWeights {
  WeightShape kv_a;
  WeightShape kv_b;
  WeightShape q_b;
  WeightShape q;
  WeightShape o;
  std::vector<WeightShape> scales;         ///< weight_scale_inv tensors beside them
  std::vector<std::string> missing_shards; ///< named by the index, not in the directory
};

/// Reads the shapes of the first layer that has kv_b_proj from the headers of the safetensors
/// files in `directory`, whose file names are `names` (sorted).
///
/// With an index only the shards that hold that layer are opened, and of those only the headers, so
/// the size of the weights does not matter. Names of HuggingFace, of DeepSeek's inference code and
/// of Mistral are known. All roles are empty when there are no weights. Errors: unreadable, syntax,
/// schema for a broken index or header.
[[nodiscard]] Result<AttentionWeights>
read_attention_weights(const std::filesystem::path& directory,
                       const std::vector<std::string>& names);

} // namespace mla_scale::audit
