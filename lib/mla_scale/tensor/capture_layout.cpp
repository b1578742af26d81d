#include "capture_layout.hpp"

#include <algorithm>

namespace mla_scale::tensor {
namespace {

/// One axis of a tensor; absent axes have extent 1 and stride 0.
struct Axis {
  std::int64_t extent = 1;
  std::int64_t stride = 0;
};

/// Batch entries to divide rows by: 1 for an empty batch, which has none.
std::int64_t entries(const Axis& batch) {
  return std::max<std::int64_t>(batch.extent, 1);
}

Axis axis(const Tensor& tensor, std::size_t index) {
  return {tensor.shape[index], tensor.strides[index]};
}

View3 make_view(const std::shared_ptr<const Tensor>& tensor, const Axis& batch, const Axis& token,
                const Axis& head, const Axis& column) {
  View3 view;
  view.tensor = tensor;
  view.tokens = batch.extent * token.extent;
  view.heads = head.extent;
  view.width = column.extent;
  view.token_stride = token.stride;
  view.head_stride = head.stride;
  view.width_stride = column.stride;
  if (token.extent == 1) {
    view.token_stride = batch.stride;
  } else if (batch.extent > 1 && batch.stride != token.extent * token.stride) {
    view.batch_tokens = token.extent;
    view.batch_stride = batch.stride;
  }
  return view;
}

/// A shape whose last axis holds heads · width.
void add_flat(std::vector<Reading>& readings, const std::shared_ptr<const Tensor>& tensor,
              const Axis& batch, const Axis& token, const Axis& last, std::int64_t width,
              std::int64_t max_heads, const char* layout) {
  const std::int64_t heads = width > 0 ? last.extent / width : 0;
  if (heads >= 1 && last.extent % width == 0 && max_heads % heads == 0) {
    readings.push_back(
        {make_view(tensor, batch, token, {heads, width * last.stride}, {width, last.stride}),
         entries(batch), layout, false, true});
  }
}

std::optional<LseReading> orient_lse(const std::shared_ptr<const Tensor>& tensor,
                                     const std::vector<Axis>& axes, std::int64_t batches,
                                     std::int64_t tokens, std::int64_t heads) {
  const bool batched = axes.size() == 3;
  if (axes.empty() || axes.size() > 3 || batches < 1 || (batched && axes[0].extent != batches)) {
    return std::nullopt;
  }
  const Axis batch = batched ? axes[0] : Axis{};
  const Axis first = axes.size() == 1 ? Axis{} : axes[axes.size() - 2];
  const Axis second = axes.back();
  const std::int64_t rows = batched ? tokens / batches : tokens;
  const auto reading = [&](const Axis& token, const Axis& head, const char* layout) {
    return LseReading{make_view(tensor, batch, {rows, token.stride}, head, {1, 1}),
                      std::string(batched ? "[B," : "[") + layout,
                      first.extent == second.extent && heads > 1, token.extent != rows};
  };
  if (first.extent == heads && second.extent == rows) {
    return reading(second, first, "H,T]");
  }
  if (first.extent == rows && second.extent == heads) {
    return reading(first, second, "T,H]");
  }
  if (first.extent == heads && second.extent == (rows + 31) / 32 * 32
      && (batched || batches == 1)) {
    return reading(second, first, "H,T]");
  }
  return std::nullopt;
}

} // namespace

std::vector<Reading> read_axes_with_heads(const std::shared_ptr<const Tensor>& tensor,
                                          std::span<const std::int64_t> widths,
                                          std::int64_t max_heads, OneFlatHead one_flat_head) {
  std::vector<Reading> readings;
  const std::size_t rank = tensor->shape.size();
  if (rank < 2 || rank > 4) {
    return readings;
  }
  const Axis last = axis(*tensor, rank - 1);
  const bool width_fits = std::ranges::find(widths, last.extent) != widths.end();
  const auto add = [&](const Axis& batch, const Axis& token, const Axis& head, const char* layout,
                       bool heads_first) {
    if (width_fits && head.extent >= 1 && max_heads % head.extent == 0) {
      readings.push_back({make_view(tensor, batch, token, head, last), entries(batch), layout,
                          heads_first, false});
    }
  };
  if (rank == 4) {
    const Axis batch = axis(*tensor, 0);
    add(batch, axis(*tensor, 1), axis(*tensor, 2), "[B,T,H,D]", false);
    add(batch, axis(*tensor, 2), axis(*tensor, 1), "[B,H,T,D]", true);
  } else if (rank == 3) {
    add({}, axis(*tensor, 0), axis(*tensor, 1), "[T,H,D]", false);
    add({}, axis(*tensor, 1), axis(*tensor, 0), "[H,T,D]", true);
    for (const std::int64_t width : widths) {
      if (last.extent == width && one_flat_head == OneFlatHead::no) {
        continue;
      }
      add_flat(readings, tensor, axis(*tensor, 0), axis(*tensor, 1), last, width, max_heads,
               "[B,T,H*D]");
    }
  } else {
    for (const std::int64_t width : widths) {
      add_flat(readings, tensor, {}, axis(*tensor, 0), last, width, max_heads, "[T,H*D]");
    }
  }
  return readings;
}

std::optional<Reading> read_axes_of_tokens(const std::shared_ptr<const Tensor>& tensor,
                                           std::span<const std::int64_t> widths) {
  const std::size_t rank = tensor->shape.size();
  if (rank < 2 || rank > 4) {
    return std::nullopt;
  }
  const Axis last = axis(*tensor, rank - 1);
  if (std::ranges::find(widths, last.extent) == widths.end()) {
    return std::nullopt;
  }
  std::vector<Axis> others;
  for (std::size_t i = 0; i + 1 < rank; ++i) {
    if (tensor->shape[i] != 1) {
      others.push_back(axis(*tensor, i));
    }
  }
  if (others.size() > 2) {
    return std::nullopt;
  }
  const Axis token = others.empty() ? Axis{} : others.back();
  const Axis batch = others.size() < 2 ? Axis{} : others.front();
  const bool one_axis = rank == 2;
  return Reading{make_view(tensor, batch, token, {}, last), entries(batch),
                 one_axis            ? "[T,D]"
                 : batch.extent == 1 ? "[T,1,D]"
                                     : "[B,T,D]",
                 false, false};
}

std::optional<LseReading> read_axes_of_lse(const std::shared_ptr<const Tensor>& tensor,
                                           std::int64_t batches, std::int64_t tokens,
                                           std::int64_t heads) {
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < tensor->shape.size(); ++i) {
    axes.push_back(axis(*tensor, i));
  }
  std::optional<LseReading> found = orient_lse(tensor, axes, batches, tokens, heads);
  if (!found && axes.size() >= 2 && axes.back().extent == 1) {
    axes.pop_back();
    found = orient_lse(tensor, axes, batches, tokens, heads);
  }
  return found;
}

View3 columns(const View3& view, std::int64_t first, std::int64_t width) {
  View3 part = view;
  part.offset += first * view.width_stride;
  part.width = width;
  return part;
}

} // namespace mla_scale::tensor
