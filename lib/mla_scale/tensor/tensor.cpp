#include "element.hpp"

#include <mla_scale/tensor/tensor.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace mla_scale::tensor {
namespace {

std::int64_t offset_of(const Tensor& tensor, std::span<const std::int64_t> index) {
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < index.size(); ++i) {
    offset += index[i] * tensor.strides[i];
  }
  return offset;
}

const std::byte* address(const Tensor& tensor, std::int64_t element) {
  return tensor.data + element * static_cast<std::int64_t>(size_of(tensor.dtype));
}

/// The value keeps 8 significant bits and bf16's exponents, subnormals included.
bool fits_bf16(double value) {
  const auto narrow = static_cast<float>(value);
  return static_cast<double>(narrow) == value
         && (std::bit_cast<std::uint32_t>(narrow) & 0xFFFFU) == 0;
}

/// 11 significant bits, exponents -14 to 15, subnormals in steps of 2^-24.
bool fits_f16(double value) {
  const double magnitude = std::fabs(value);
  if (magnitude > 65504.0) {
    return false;
  }
  const int exponent = std::max(std::ilogb(magnitude), -14);
  const double scaled = std::ldexp(magnitude, 10 - exponent);
  return scaled == std::floor(scaled);
}

} // namespace

std::int64_t Tensor::element_count() const {
  return element_count_of(shape).value_or(0);
}

double Tensor::at(std::span<const std::int64_t> index) const {
  const std::byte* from = address(*this, offset_of(*this, index));
  return with_decoder(dtype, big_endian,
                      [&](const auto& decode) { return static_cast<double>(decode(from)); });
}

std::int64_t Tensor::integer_at(std::span<const std::int64_t> index) const {
  const std::byte* from = address(*this, offset_of(*this, index));
  // Only 64-bit integers do not pass through a double unharmed.
  if (dtype == Dtype::i64 || dtype == Dtype::u64) {
    return static_cast<std::int64_t>(load_bits<std::uint64_t>(from, big_endian));
  }
  return static_cast<std::int64_t>(at(index));
}

std::optional<std::int64_t> element_count_of(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) {
      return std::nullopt;
    }
    empty = empty || extent == 0;
    // An empty dimension does not excuse the others: strides are products too.
    if (extent > 0 && __builtin_mul_overflow(count, extent, &count)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : count;
}

std::vector<std::int64_t> dense_strides(std::span<const std::int64_t> shape, bool fortran_order) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t step = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t axis = fortran_order ? i : shape.size() - 1 - i;
    strides[axis] = step;
    step *= std::max<std::int64_t>(shape[axis], 1);
  }
  return strides;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Dtype effective_dtype(const View3& view) {
  const Dtype stored = view.tensor->dtype;
  if (stored != Dtype::f32 && stored != Dtype::f64) {
    return stored;
  }
  constexpr std::int64_t k_sampled = 65536;
  const std::int64_t count = view.tokens * view.heads * view.width;
  // Odd, so that a power of two among the extents does not keep the sample in one column.
  const std::int64_t step = count <= k_sampled ? 1 : count / k_sampled | 1;
  bool all_zero = true;
  bool bf16 = true;
  bool f16 = true;
  bool f32 = true;
  for (std::int64_t i = 0; i < count; i += step) {
    const std::int64_t row = i / view.width;
    const double value = view.at(row / view.heads, row % view.heads, i % view.width);
    if (value == 0.0 || !std::isfinite(value)) {
      continue;
    }
    all_zero = false;
    bf16 = bf16 && fits_bf16(value);
    f16 = f16 && fits_f16(value);
    f32 = f32 && static_cast<double>(static_cast<float>(value)) == value;
    if (!bf16 && !f16 && !f32) {
      break;
    }
  }
  if (all_zero) {
    return stored;
  }
  return bf16 ? Dtype::bf16 : f16 ? Dtype::f16 : f32 ? Dtype::f32 : stored;
}

} // namespace mla_scale::tensor
