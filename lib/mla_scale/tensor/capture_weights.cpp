#include "capture_weights.hpp"

#include "capture_values.hpp"

#include <fmt/format.h>

#include <array>

namespace mla_scale::tensor {
namespace {

Result<CaptureWeights> split_kv_b_proj(const std::shared_ptr<const Tensor>& weight,
                                       const Geometry& geometry, std::vector<std::string>& notes) {
  const std::int64_t nope = geometry.qk_nope_head_dim;
  const std::int64_t per_head = nope + geometry.v_head_dim;
  const std::int64_t rank = geometry.kv_lora_rank;
  const std::vector<std::int64_t>& shape = weight->shape;
  const auto is_width = [&](std::int64_t extent) {
    return extent > 0 && extent % per_head == 0
           && geometry.num_attention_heads % (extent / per_head) == 0;
  };
  const bool matrix = shape.size() == 2;
  const bool by_rows = matrix && shape[1] == rank && is_width(shape[0]);
  const bool by_columns = matrix && shape[0] == rank && is_width(shape[1]);
  if (!by_rows && !by_columns) {
    return wrong(*weight,
                 fmt::format("its shape {} is not [H*{}, {}] with H dividing {} heads",
                             shape_text(shape), per_head, rank, geometry.num_attention_heads));
  }
  const std::size_t axis = by_rows ? 0 : 1;
  if (!by_rows) {
    notes.push_back(fmt::format("{} came transposed, as [{}, H*{}]", weight->name, rank, per_head));
  }
  View3 view;
  view.tensor = weight;
  view.heads = shape[axis] / per_head;
  view.width = rank;
  view.token_stride = weight->strides[axis];
  view.head_stride = per_head * weight->strides[axis];
  view.width_stride = weight->strides[1 - axis];
  CaptureWeights weights;
  weights.heads = view.heads;
  view.tokens = nope;
  weights.w_uk = view;
  view.tokens = geometry.v_head_dim;
  view.offset = nope * weight->strides[axis];
  weights.w_uv = view;
  return weights;
}

/// Which axis is which.
struct Order {
  std::size_t rank;
  std::size_t head;
  std::size_t width;
  const char* layout;
};

/// As documented first; the others are what engines keep for their batched products.
constexpr std::array<Order, 3> k_orders = {
    {{0, 1, 2, "[L,H,D]"}, {2, 0, 1, "[H,D,L]"}, {1, 0, 2, "[H,L,D]"}}};

Result<std::optional<View3>> find_absorbed(const CaptureFiles& files, std::string_view canonical,
                                           std::int64_t width, const Geometry& geometry,
                                           std::vector<std::string>& notes) {
  const Result<std::shared_ptr<const Tensor>> found = find_floating(files, canonical, notes);
  if (!found) {
    return found.error();
  }
  if (*found == nullptr) {
    return std::optional<View3>();
  }
  const Tensor& weight = **found;
  const std::vector<std::int64_t>& shape = weight.shape;
  for (const Order& order : k_orders) {
    if (shape.size() != 3 || shape[order.rank] != geometry.kv_lora_rank
        || shape[order.width] != width || shape[order.head] < 1
        || geometry.num_attention_heads % shape[order.head] != 0) {
      continue;
    }
    View3 view;
    view.tensor = *found;
    view.tokens = width;
    view.heads = shape[order.head];
    view.width = geometry.kv_lora_rank;
    view.token_stride = weight.strides[order.width];
    view.head_stride = weight.strides[order.head];
    view.width_stride = weight.strides[order.rank];
    if (&order != k_orders.data()) {
      notes.push_back(fmt::format("{} read as {}", weight.name, order.layout));
    }
    return std::optional(view);
  }
  return wrong(weight, fmt::format("its shape {} is not [{}, H, {}] with H dividing {} heads",
                                   shape_text(shape), geometry.kv_lora_rank, width,
                                   geometry.num_attention_heads));
}

} // namespace

Result<CaptureWeights> find_weights(const CaptureFiles& files, const Geometry& geometry,
                                    std::vector<std::string>& notes) {
  const Result<std::shared_ptr<const Tensor>> fused = find_floating(files, "kv_b_proj", notes);
  if (!fused) {
    return fused.error();
  }
  if (*fused != nullptr) {
    return split_kv_b_proj(*fused, geometry, notes);
  }
  auto w_uk = find_absorbed(files, "w_uk", geometry.qk_nope_head_dim, geometry, notes);
  if (!w_uk) {
    return w_uk.error();
  }
  auto w_uv = find_absorbed(files, "w_uv", geometry.v_head_dim, geometry, notes);
  if (!w_uv) {
    return w_uv.error();
  }
  if (*w_uk && *w_uv && (*w_uk)->heads != (*w_uv)->heads) {
    const Tensor& weight = *(*w_uv)->tensor;
    return wrong(weight, fmt::format("its shape {} holds {} heads, but w_uk holds {}",
                                     shape_text(weight.shape), (*w_uv)->heads, (*w_uk)->heads));
  }
  CaptureWeights weights;
  weights.heads = *w_uk ? (*w_uk)->heads : *w_uv ? (*w_uv)->heads : 0;
  weights.w_uk = std::move(*w_uk);
  weights.w_uv = std::move(*w_uv);
  return weights;
}

} // namespace mla_scale::tensor
