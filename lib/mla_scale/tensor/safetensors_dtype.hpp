#pragma once

#include <mla_scale/tensor/dtype.hpp>

#include <array>
#include <string_view>

namespace mla_scale::tensor {

/// What safetensors calls an element type.
struct SafetensorsDtype {
  std::string_view name;
  Dtype dtype;
};

inline constexpr std::array<SafetensorsDtype, 15> k_safetensors_dtypes = {{
    {"F64", Dtype::f64},
    {"F32", Dtype::f32},
    {"F16", Dtype::f16},
    {"BF16", Dtype::bf16},
    {"F8_E4M3", Dtype::f8_e4m3fn},
    {"F8_E5M2", Dtype::f8_e5m2},
    {"I64", Dtype::i64},
    {"I32", Dtype::i32},
    {"I16", Dtype::i16},
    {"I8", Dtype::i8},
    {"U64", Dtype::u64},
    {"U32", Dtype::u32},
    {"U16", Dtype::u16},
    {"U8", Dtype::u8},
    {"BOOL", Dtype::boolean},
}};

} // namespace mla_scale::tensor
