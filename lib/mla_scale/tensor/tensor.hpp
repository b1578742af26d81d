#pragma once

#include <mla_scale/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
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
};

/// A floating tensor seen as [tokens, heads, width], whatever its layout in the file.
///
/// Reading converts to float64 exactly (every dtype here is a subset of it) and multiplies by
/// `dequantise` (1 except for fp8 with a scale tensor).
struct View3 {
  std::shared_ptr<const Tensor> tensor;
  std::int64_t tokens = 0;
  std::int64_t heads = 0;
  std::int64_t width = 0;
  std::int64_t token_stride = 0; ///< strides in elements
  std::int64_t head_stride = 0;
  std::int64_t width_stride = 0;
  std::int64_t offset = 0; ///< in elements, of [0, 0, 0]
  double dequantise = 1.0;

  /// Copies elements [token, head, first .. first + count) to `out`.
  void read(std::int64_t token, std::int64_t head, std::int64_t first, std::int64_t count,
            double* out) const;
  void read(std::int64_t token, std::int64_t head, std::int64_t first, std::int64_t count,
            float* out) const;
  [[nodiscard]] double at(std::int64_t token, std::int64_t head, std::int64_t column) const;
};

} // namespace mla_scale::tensor
