#include "element.hpp"

#include <mla_scale/tensor/tensor.hpp>

namespace mla_scale::tensor {
namespace {

std::int64_t element_of(const View3& view, std::int64_t token, std::int64_t head,
                        std::int64_t column) {
  const std::int64_t row = view.batch_tokens == 0
                               ? token * view.token_stride
                               : token / view.batch_tokens * view.batch_stride
                                     + token % view.batch_tokens * view.token_stride;
  return view.offset + row + head * view.head_stride + column * view.width_stride;
}

double factor_of(const View3& view, std::int64_t head) {
  return view.dequantise_by_head.empty()
             ? view.dequantise
             : view.dequantise * view.dequantise_by_head[static_cast<std::size_t>(head)];
}

template <typename Number>
void read_row(const View3& view, std::int64_t token, std::int64_t head, std::int64_t first,
              std::int64_t count, Number* out) {
  const Tensor& tensor = *view.tensor;
  const std::byte* from =
      tensor.data
      + element_of(view, token, head, first) * static_cast<std::int64_t>(size_of(tensor.dtype));
  with_decoder(tensor.dtype, tensor.big_endian, [&](const auto& decode) {
    constexpr std::int64_t k_size = std::remove_cvref_t<decltype(decode)>::k_size;
    // A step known to the compiler lets it vectorise the common case.
    if (view.width_stride == 1) {
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<Number>(decode(from + i * k_size));
      }
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<Number>(decode(from + i * view.width_stride * k_size));
      }
    }
  });
  if (view.dequantise_by_block != nullptr) {
    const std::int64_t element = element_of(view, token, head, first);
    for (std::int64_t i = 0; i < count; ++i) {
      out[i] = static_cast<Number>(static_cast<double>(out[i])
                                   * view.dequantise_by_block->at(element + i * view.width_stride));
    }
  }
  if (const double factor = factor_of(view, head); factor != 1.0) {
    for (std::int64_t i = 0; i < count; ++i) {
      out[i] = static_cast<Number>(static_cast<double>(out[i]) * factor);
    }
  }
}

} // namespace

double BlockFactors::at(std::int64_t element) const {
  std::int64_t place = 0;
  for (const Axis& axis : axes) {
    const std::int64_t index = element / axis.stride;
    element -= index * axis.stride;
    place += index / axis.block * axis.step;
  }
  return values[static_cast<std::size_t>(place)];
}

void View3::read(std::int64_t token, std::int64_t head, std::int64_t first, std::int64_t count,
                 double* out) const {
  read_row(*this, token, head, first, count, out);
}

void View3::read(std::int64_t token, std::int64_t head, std::int64_t first, std::int64_t count,
                 float* out) const {
  read_row(*this, token, head, first, count, out);
}

double View3::at(std::int64_t token, std::int64_t head, std::int64_t column) const {
  double value = 0;
  read(token, head, column, 1, &value);
  return value;
}

void View3::prefetch(std::int64_t token, std::int64_t head, std::int64_t first,
                     std::int64_t count) const {
  constexpr std::int64_t k_line = 64;
  if (token >= tokens || width_stride != 1) {
    return;
  }
  const auto size = static_cast<std::int64_t>(size_of(tensor->dtype));
  const std::byte* const from = tensor->data + element_of(*this, token, head, first) * size;
  for (std::int64_t line = 0; line < count * size; line += k_line) {
    __builtin_prefetch(from + line);
  }
}

} // namespace mla_scale::tensor
