#pragma once

#include <mla_scale/tensor/capture.hpp>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

/// Tensors made in memory, for tests of what works on captures.
namespace tensors {

using mla_scale::tensor::Capture;
using mla_scale::tensor::Dtype;
using mla_scale::tensor::Sequence;
using mla_scale::tensor::Tensor;
using mla_scale::tensor::View3;

/// A contiguous [tokens, heads, width] float64 tensor.
inline View3 view(std::vector<double> values, std::int64_t tokens, std::int64_t heads,
                  std::int64_t width) {
  auto owner = std::make_shared<std::vector<double>>(std::move(values));
  auto tensor = std::make_shared<Tensor>();
  tensor->dtype = Dtype::f64;
  tensor->shape = {tokens, heads, width};
  tensor->strides = {heads * width, width, 1};
  tensor->data = reinterpret_cast<const std::byte*>(owner->data());
  tensor->owner = owner;
  View3 view;
  view.tensor = tensor;
  view.tokens = tokens;
  view.heads = heads;
  view.width = width;
  view.token_stride = heads * width;
  view.head_stride = width;
  view.width_stride = 1;
  return view;
}

/// Multiples of 1/2048 in [-1, 1): the sequence of tests/unit/reference/expected.py.
inline std::vector<double> numbers(std::uint64_t seed, std::int64_t count, double factor = 1.0) {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t n = 0; n < static_cast<std::uint64_t>(count); ++n) {
    std::uint64_t x = ((n + seed * 1000003) * 2654435761U) & 0xFFFFFFFFU;
    x ^= x >> 15U;
    x = (x * 2246822519U) & 0xFFFFFFFFU;
    x ^= x >> 13U;
    values.push_back(factor * (static_cast<double>(x >> 20U) / 2048.0 - 1.0));
  }
  return values;
}

/// numbers() as a tensor.
inline View3 number_view(std::uint64_t seed, std::int64_t tokens, std::int64_t heads,
                         std::int64_t width, double factor = 1.0) {
  return view(numbers(seed, tokens * heads * width, factor), tokens, heads, width);
}

} // namespace tensors
