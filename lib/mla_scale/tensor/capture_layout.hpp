#pragma once

#include <mla_scale/tensor/tensor.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::tensor {

/// One way to read the axes of a tensor.
struct Reading {
  View3 view;               ///< all batch entries one after the other as tokens
  std::int64_t batches = 1; ///< tokens / batches rows belong to each
  std::string layout;       ///< "[T,H,D]", "[B,H,T,D]", "[T,H*D]", ...
  bool heads_first = false; ///< heads before tokens
  bool flat = false;        ///< heads and width share an axis: neither order
};

/// Whether three axes [B, T, D] may hold one head in the last: they would be [T, H, D] as well.
enum class OneFlatHead { no, yes };

/// Every reading as [tokens, heads, width] with a width among `widths` and a head count that
/// divides `max_heads`, in order of preference: separate axes before flat ones, tokens before
/// heads.
[[nodiscard]] std::vector<Reading> read_axes_with_heads(const std::shared_ptr<const Tensor>& tensor,
                                                        std::span<const std::int64_t> widths,
                                                        std::int64_t max_heads,
                                                        OneFlatHead one_flat_head);

/// The reading as [tokens, 1, width]: [T, D], [T, 1, D], [B, T, D], [B, T, 1, D], [B, 1, T, D];
/// nothing when the last axis is not among `widths` or there are more than two others longer
/// than 1.
[[nodiscard]] std::optional<Reading>
read_axes_of_tokens(const std::shared_ptr<const Tensor>& tensor,
                    std::span<const std::int64_t> widths);

/// The reading of log-sum-exps as [tokens, heads, 1].
struct LseReading {
  View3 view;
  std::string layout;     ///< "[H,T]", "[B,T,H]", ...
  bool ambiguous = false; ///< tokens == heads: heads first was preferred, as torch writes it
  bool padded = false; ///< token axis rounded up to a multiple of 32, as efficient attention does
};

/// `tokens` counts all batch entries. Nothing when no orientation of the shape fits.
[[nodiscard]] std::optional<LseReading>
read_axes_of_lse(const std::shared_ptr<const Tensor>& tensor, std::int64_t batches,
                 std::int64_t tokens, std::int64_t heads);

/// The columns [first, first + width) of a view.
[[nodiscard]] View3 columns(const View3& view, std::int64_t first, std::int64_t width);

} // namespace mla_scale::tensor
