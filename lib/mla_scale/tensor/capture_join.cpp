#include "capture_join.hpp"

#include <fmt/format.h>

#include <cstring>

namespace mla_scale::tensor {
namespace {

/// Where an element lies; the columns of a view are not dense in general.
const std::byte* address(const View3& view, std::int64_t token, std::int64_t head,
                         std::int64_t column) {
  const std::int64_t row = view.batch_tokens == 0
                               ? token * view.token_stride
                               : token / view.batch_tokens * view.batch_stride
                                     + token % view.batch_tokens * view.token_stride;
  const std::int64_t element =
      view.offset + row + head * view.head_stride + column * view.width_stride;
  return view.tensor->data + element * static_cast<std::int64_t>(size_of(view.tensor->dtype));
}

} // namespace

Result<View3> join_columns(const View3& left, const View3& right) {
  const Tensor& first = *left.tensor;
  const Tensor& second = *right.tensor;
  if (first.dtype != second.dtype || first.big_endian != second.big_endian) {
    return Error{ErrorKind::schema,
                 fmt::format("is of {}, but {} is of {}", to_string(second.dtype), first.name,
                             to_string(first.dtype)),
                 second.file,
                 second.name,
                 {}};
  }
  const std::size_t size = size_of(first.dtype);
  const std::int64_t width = left.width + right.width;
  auto bytes = std::make_shared<std::vector<std::byte>>(
      static_cast<std::size_t>(left.tokens * left.heads * width) * size);
  std::byte* to = bytes->data();
  for (std::int64_t token = 0; token < left.tokens; ++token) {
    for (std::int64_t head = 0; head < left.heads; ++head) {
      for (const View3* view : {&left, &right}) {
        for (std::int64_t column = 0; column < view->width; ++column, to += size) {
          std::memcpy(to, address(*view, token, head, column), size);
        }
      }
    }
  }
  auto joined = std::make_shared<Tensor>();
  joined->name = first.name + " + " + second.name;
  joined->file = first.file;
  joined->dtype = first.dtype;
  joined->big_endian = first.big_endian;
  joined->shape = {left.tokens, left.heads, width};
  joined->strides = dense_strides(joined->shape);
  joined->data = bytes->data();
  joined->owner = bytes;
  View3 view;
  view.tokens = left.tokens;
  view.heads = left.heads;
  view.width = width;
  view.token_stride = joined->strides[0];
  view.head_stride = joined->strides[1];
  view.width_stride = 1;
  view.tensor = std::move(joined);
  return view;
}

} // namespace mla_scale::tensor
