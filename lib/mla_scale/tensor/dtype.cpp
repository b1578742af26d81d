#include <mla_scale/tensor/dtype.hpp>

#include <array>

namespace mla_scale::tensor {
namespace {

struct Row {
  Dtype dtype;
  std::string_view name;
  std::size_t size;
  bool floating;
};

/// In the order of the enumeration.
constexpr std::array<Row, 15> k_rows = {{
    {Dtype::f64, "fp64", 8, true},
    {Dtype::f32, "fp32", 4, true},
    {Dtype::f16, "fp16", 2, true},
    {Dtype::bf16, "bf16", 2, true},
    {Dtype::f8_e4m3fn, "fp8_e4m3fn", 1, true},
    {Dtype::f8_e5m2, "fp8_e5m2", 1, true},
    {Dtype::i64, "int64", 8, false},
    {Dtype::i32, "int32", 4, false},
    {Dtype::i16, "int16", 2, false},
    {Dtype::i8, "int8", 1, false},
    {Dtype::u64, "uint64", 8, false},
    {Dtype::u32, "uint32", 4, false},
    {Dtype::u16, "uint16", 2, false},
    {Dtype::u8, "uint8", 1, false},
    {Dtype::boolean, "bool", 1, false},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < k_rows.size(); ++i) {
    if (k_rows[i].dtype != static_cast<Dtype>(i)) {
      return false;
    }
  }
  return true;
}
static_assert(in_order());

const Row& row(Dtype dtype) {
  return k_rows[static_cast<std::size_t>(dtype)];
}

} // namespace

std::size_t size_of(Dtype dtype) {
  return row(dtype).size;
}

std::string_view to_string(Dtype dtype) {
  return row(dtype).name;
}

bool is_floating(Dtype dtype) {
  return row(dtype).floating;
}

bool is_float8(Dtype dtype) {
  return dtype == Dtype::f8_e4m3fn || dtype == Dtype::f8_e5m2;
}

} // namespace mla_scale::tensor
