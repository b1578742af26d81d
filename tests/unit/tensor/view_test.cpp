#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/tensor/memory.hpp>

#include <numeric>
#include <vector>

using namespace mla_scale;
using namespace mla_scale::tensor;

namespace {

/// Every element of the copied tokens and heads is what it was.
void check_copy(const View3& view, const std::vector<std::int64_t>& heads, std::int64_t tokens) {
  const View3 copy = copy_heads(view, heads, tokens);
  CHECK(copy.tokens == tokens);
  CHECK(copy.heads == view.heads);
  CHECK(copy.head_stride > copy.token_stride);
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (const std::int64_t head : heads) {
      for (std::int64_t column = 0; column < view.width; ++column) {
        CHECK(copy.at(token, head, column) == view.at(token, head, column));
      }
    }
  }
}

View3 float8_view() {
  std::vector<std::byte> bytes(std::size_t{6} * 4 * 8);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i % 120); // finite numbers
  }
  const auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  View3 view = tensors::number_view(1, 6, 4, 8);
  view.tensor = *tensor_in_memory("k", Dtype::f8_e4m3fn, {6, 4, 8}, *owner, owner);
  return view;
}

} // namespace

TEST_CASE("copied heads hold the numbers that the view shows", "[tensor][view]") {
  const View3 whole = tensors::number_view(1, 6, 4, 8);
  check_copy(whole, {1, 3}, 6);
  check_copy(whole, {0, 2}, 4);
  View3 strided = whole; // every other column, last first
  strided.width = 4;
  strided.width_stride = -2;
  strided.offset = 7;
  check_copy(strided, {0, 3}, 6);
  View3 batches = whole; // [B, H, T, D]
  batches.tokens = 6;
  batches.batch_tokens = 3;
  batches.batch_stride = 96;
  batches.token_stride = 8;
  batches.head_stride = 24;
  check_copy(batches, {1, 2}, 6);
}

TEST_CASE("copied heads keep the factors of float8", "[tensor][view]") {
  View3 view = float8_view();
  view.dequantise = 0.5;
  view.dequantise_by_head = {1.0, 2.0, 3.0, 4.0};
  check_copy(view, {1, 3}, 6);
  BlockFactors factors;
  factors.axes = {{32, 2, 1}}; // one for two tokens
  factors.values = {1.5, 2.5, 3.5};
  view.dequantise_by_block = std::make_shared<const BlockFactors>(factors);
  check_copy(view, {1, 3}, 6);
}

TEST_CASE("expecting tokens that do not exist does nothing", "[tensor][view]") {
  const View3 view = tensors::number_view(1, 6, 4, 8);
  view.expect(0, 6);
  view.expect(5, 100);
  view.expect(6, 1);
  view.expect(0, 0);
  CHECK(view.at(5, 3, 7) == tensors::numbers(1, 192).back());
}
