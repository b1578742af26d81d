#include "block_factors.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace mla_scale::tensor {
namespace {

/// Blocks that engines quantise by, likeliest first.
constexpr std::array<std::int64_t, 6> k_blocks = {128, 64, 32, 16, 256, 512};

/// Indices that share one of `count` factors along an axis; 0 when no number of them does.
std::int64_t block_of(std::int64_t extent, std::int64_t count) {
  if (count == extent) {
    return 1;
  }
  if (count == 1) {
    return std::max<std::int64_t>(extent, 1);
  }
  if (count < 1 || count > extent) {
    return 0;
  }
  for (const std::int64_t block : k_blocks) {
    if ((extent + block - 1) / block == count) {
      return block;
    }
  }
  return 0;
}

using Shape = std::vector<std::int64_t>;

std::optional<BlockFactors> fit(const Tensor& tensor, const Shape& scale) {
  struct Cut {
    BlockFactors::Axis axis;
    std::int64_t extent;
  };
  std::vector<Cut> cuts;
  const Shape steps = dense_strides(scale);
  for (std::size_t i = 0; i < scale.size(); ++i) {
    const std::int64_t extent = tensor.shape[i];
    const std::int64_t block = block_of(extent, scale[i]);
    if (block == 0 || (tensor.strides[i] <= 0 && scale[i] > 1)) {
      return std::nullopt;
    }
    if (extent > 1 && tensor.strides[i] > 0) {
      cuts.push_back({{tensor.strides[i], block, scale[i] > 1 ? steps[i] : 0}, extent});
    }
  }
  std::stable_sort(cuts.begin(), cuts.end(),
                   [](const Cut& a, const Cut& b) { return a.axis.stride > b.axis.stride; });
  BlockFactors factors;
  std::int64_t reach = 0; // of the axes that follow
  for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
    if (cut->axis.stride <= reach) {
      return std::nullopt; // overlapping axes: an element has no one index
    }
    reach += (cut->extent - 1) * cut->axis.stride;
  }
  for (const Cut& cut : cuts) {
    factors.axes.push_back(cut.axis);
  }
  return factors;
}

} // namespace

std::optional<BlockFactors> find_blocks(const Tensor& tensor, std::span<const std::int64_t> scale,
                                        std::int64_t heads) {
  const std::size_t rank = tensor.shape.size();
  if (scale.empty() || scale.size() > rank) {
    return std::nullopt;
  }
  Shape shape(scale.begin(), scale.end());
  shape.resize(rank, 1);
  if (auto factors = fit(tensor, shape)) {
    return factors;
  }
  if (rank == 4 && scale.size() == 2 && scale[1] == heads) {
    return fit(tensor, {scale[0], 1, scale[1], 1});
  }
  return std::nullopt;
}

} // namespace mla_scale::tensor
