#pragma once

#include <cstddef>
#include <string_view>

namespace mla_scale::tensor {

/// Element types that captures come in.
enum class Dtype {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3fn,
  f8_e5m2,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean
};

/// Bytes of one element.
[[nodiscard]] std::size_t size_of(Dtype dtype);

/// Name as printed: "bf16", "fp16", "fp32", "fp64", "fp8_e4m3fn", "int64" ...
[[nodiscard]] std::string_view to_string(Dtype dtype);

[[nodiscard]] bool is_floating(Dtype dtype);

/// float8 of either kind: stored values mean nothing without a scale.
[[nodiscard]] bool is_float8(Dtype dtype);

} // namespace mla_scale::tensor
