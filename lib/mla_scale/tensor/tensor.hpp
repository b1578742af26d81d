#pragma once

#include <mla_scale/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::tensor {

/// A strided, read-only tensor over bytes that someone keeps alive: a mapped file or a decompressed
/// buffer.
///
/// Readers guarantee that every index inside `shape` addresses bytes inside the buffer, so access
/// is unchecked.
struct Tensor {
  std::string name;
  std::string file;
  Dtype dtype = Dtype::f32;
  bool big_endian = false;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides; ///< in elements, one for each dimension; may be 0 or negative
  const std::byte* data = nullptr;   ///< element at index 0, 0, ...
  std::shared_ptr<const void> owner;

  [[nodiscard]] std::int64_t element_count() const;
  /// One element, as a double. Integers above 2^53 lose precision.
  [[nodiscard]] double at(std::span<const std::int64_t> index) const;
  /// One element of an integer or boolean tensor, exactly; uint64 above 2^63 - 1 wraps.
  [[nodiscard]] std::int64_t integer_at(std::span<const std::int64_t> index) const;
};

/// Product of the dimensions, or nothing when one is negative or the product does not fit.
[[nodiscard]] std::optional<std::int64_t> element_count_of(std::span<const std::int64_t> shape);

/// Strides in elements of a dense tensor: last dimension fastest (C), or first (Fortran).
/// \pre element_count_of(shape)
[[nodiscard]] std::vector<std::int64_t> dense_strides(std::span<const std::int64_t> shape,
                                                      bool fortran_order = false);

/// "[192, 4, 128]".
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);

/// Factors of the blocks that a tensor is cut into along its own axes: fp8 with a scale for each
/// token, channel, head, or tile of 128.
struct BlockFactors {
  struct Axis {
    std::int64_t stride = 0; ///< of the tensor, in elements
    std::int64_t block = 1;  ///< indices that share a factor
    std::int64_t step = 0;   ///< from one factor to the next in `values`
  };
  std::vector<Axis> axes; ///< largest stride first, each stride longer than all that follows
  std::vector<double> values;

  /// The factor of the element so many elements behind index 0, 0, ...
  [[nodiscard]] double at(std::int64_t element) const;
};

/// A floating tensor seen as [tokens, heads, width], whatever its layout in the file.
///
/// Reading converts to float64 exactly (every dtype here is a subset of it) and multiplies by
/// `dequantise` and the other factors (1 except for fp8 with a scale tensor).
struct View3 {
  std::shared_ptr<const Tensor> tensor;
  std::int64_t tokens = 0;
  std::int64_t heads = 0;
  std::int64_t width = 0;
  std::int64_t token_stride = 0; ///< strides in elements
  std::int64_t head_stride = 0;
  std::int64_t width_stride = 0;
  std::int64_t offset = 0; ///< in elements, of [0, 0, 0]
  /// Tokens of one batch entry, when entries do not follow each other at token_stride, as in
  /// [B, H, T, D]: token t lies at (t / batch_tokens) · batch_stride + (t % batch_tokens) ·
  /// token_stride. 0 when one stride is enough.
  std::int64_t batch_tokens = 0;
  std::int64_t batch_stride = 0;
  double dequantise = 1.0;
  /// One more factor a head, for fp8 with a scale for each head; empty otherwise.
  std::vector<double> dequantise_by_head;
  /// Further factors of blocks of the tensor; null otherwise.
  std::shared_ptr<const BlockFactors> dequantise_by_block;
  /// Where each head lies along head_stride, -1 for one that is not there; empty when head h lies
  /// at h. See copy_heads().
  std::vector<std::int64_t> places;

  /// Copies elements [token, head, first .. first + count) to `out`.
  void read(std::int64_t token, std::int64_t head, std::int64_t first, std::int64_t count,
            double* out) const;
  void read(std::int64_t token, std::int64_t head, std::int64_t first, std::int64_t count,
            float* out) const;
  [[nodiscard]] double at(std::int64_t token, std::int64_t head, std::int64_t column) const;
  /// Asks the processor for what a read of these elements will want. A wish only: rows of one head
  /// lie far apart, so nothing foresees the next one. Nothing for a token that does not exist.
  void prefetch(std::int64_t token, std::int64_t head, std::int64_t first,
                std::int64_t count) const;
  /// Asks the system to read these tokens, all heads of them, from the mapped file before they are
  /// wanted. A wish only; tokens that do not exist are left out.
  void expect(std::int64_t first, std::int64_t count) const;
};

/// A copy in memory of the first `tokens` tokens of chosen heads, under their own numbers: head by
/// head instead of token by token, so that walking one does not touch the others. Reads the tensor
/// once.
[[nodiscard]] View3 copy_heads(const View3& view, std::span<const std::int64_t> heads,
                               std::int64_t tokens);

/// The dtype that the values of `view` were computed in, as far as a bounded sample of at most
/// 65536 elements tells: a float32 or float64 tensor whose non-zero values all fit bf16, else fp16,
/// else fp32, was rounded to it before it was saved (NumPy has no bf16). The stored dtype
/// otherwise, and when all values are zero.
[[nodiscard]] Dtype effective_dtype(const View3& view);

} // namespace mla_scale::tensor
