#include "element.hpp"

#include <mla_scale/tensor/tensor.hpp>

#include <algorithm>
#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

namespace mla_scale::tensor {
namespace {

std::int64_t element_of(const View3& view, std::int64_t token, std::int64_t head,
                        std::int64_t column) {
  const std::int64_t row = view.batch_tokens == 0
                               ? token * view.token_stride
                               : token / view.batch_tokens * view.batch_stride
                                     + token % view.batch_tokens * view.token_stride;
  const std::int64_t place =
      view.places.empty() ? head : view.places[static_cast<std::size_t>(head)];
  return view.offset + row + place * view.head_stride + column * view.width_stride;
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

void View3::expect(std::int64_t first, std::int64_t count) const {
  const std::int64_t last = std::min(first + count, tokens) - 1;
  if (last < first || heads < 1 || width < 1 || !places.empty()) {
    return;
  }
  const std::int64_t ends[] = {element_of(*this, first, 0, 0), element_of(*this, last, 0, 0),
                               element_of(*this, first, heads - 1, width - 1),
                               element_of(*this, last, heads - 1, width - 1)};
  const auto [low, high] = std::minmax_element(std::begin(ends), std::end(ends));
  const auto size = static_cast<std::int64_t>(size_of(tensor->dtype));
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(tensor->data + *low * size) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(tensor->data + (*high + 1) * size);
  static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED));
}

View3 copy_heads(const View3& view, std::span<const std::int64_t> heads, std::int64_t tokens) {
  // Bytes as they are where rows are contiguous; factors of blocks cannot follow them.
  const bool as_stored = view.width_stride == 1 && view.dequantise_by_block == nullptr;
  const auto count = static_cast<std::int64_t>(heads.size());
  auto tensor = std::make_shared<Tensor>();
  tensor->name = view.tensor->name;
  tensor->file = view.tensor->file;
  tensor->dtype = as_stored ? view.tensor->dtype : Dtype::f64;
  tensor->big_endian = as_stored && view.tensor->big_endian;
  tensor->shape = {count, tokens, view.width};
  tensor->strides = dense_strides(tensor->shape);
  const auto size = static_cast<std::int64_t>(size_of(tensor->dtype));
  const auto row_bytes = static_cast<std::size_t>(view.width * size);
  const auto bytes = std::make_shared<std::vector<std::byte>>(row_bytes * heads.size()
                                                              * static_cast<std::size_t>(tokens));
  tensor->data = bytes->data();
  tensor->owner = bytes;
  std::vector<double> row(static_cast<std::size_t>(view.width));
  constexpr std::int64_t k_ahead = 1024; // tokens
  for (std::int64_t token = 0; token < tokens; ++token) {
    if (token % k_ahead == 0) {
      view.expect(token + k_ahead, std::min(k_ahead, tokens - token - k_ahead));
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t head = heads[static_cast<std::size_t>(i)];
      const void* from = row.data();
      if (as_stored) {
        from = view.tensor->data + element_of(view, token, head, 0) * size;
      } else {
        view.read(token, head, 0, view.width, row.data());
      }
      std::memcpy(bytes->data() + static_cast<std::size_t>(i * tokens + token) * row_bytes, from,
                  row_bytes);
    }
  }
  View3 copy;
  copy.tensor = tensor;
  copy.tokens = tokens;
  copy.heads = view.heads;
  copy.width = view.width;
  copy.token_stride = view.width;
  copy.head_stride = tokens * view.width;
  copy.width_stride = 1;
  if (as_stored) {
    copy.dequantise = view.dequantise;
    copy.dequantise_by_head = view.dequantise_by_head;
  }
  copy.places.assign(static_cast<std::size_t>(view.heads), -1);
  for (std::size_t i = 0; i < heads.size(); ++i) {
    copy.places[static_cast<std::size_t>(heads[i])] = static_cast<std::int64_t>(i);
  }
  return copy;
}

} // namespace mla_scale::tensor
