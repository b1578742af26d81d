#include "support/catch.hpp"

#include <mla_scale/tensor/memory.hpp>

#include <array>
#include <vector>

using namespace mla_scale;
using namespace mla_scale::tensor;

TEST_CASE("a tensor over memory reads the values that lie there, last dimension fastest",
          "[tensor][memory]") {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const auto tensor =
      tensor_in_memory("q", Dtype::f32, {2, 1, 3}, std::as_bytes(std::span(values)));
  REQUIRE(tensor);
  const std::array<std::int64_t, 3> index = {1, 0, 2};
  CHECK((*tensor)->at(index) == 5.0);
}

TEST_CASE("a tensor over memory of another size is refused, with its name and both sizes",
          "[tensor][memory]") {
  const std::vector<float> values(6);
  const auto bytes = std::as_bytes(std::span(values));
  for (const std::vector<std::int64_t>& shape : std::vector<std::vector<std::int64_t>>{
           {2, 4}, {2, 2}, {-2, -3}, {std::int64_t{1} << 40, std::int64_t{1} << 40}}) {
    const auto tensor = tensor_in_memory("q", Dtype::f32, shape, bytes);
    REQUIRE(!tensor);
    CHECK(tensor.error().kind == ErrorKind::schema);
    CHECK(tensor.error().pointer == "q");
    CHECK(tensor.error().message.find("24 bytes") != std::string::npos);
  }
  CHECK(!tensor_in_memory("q", Dtype::f32, {6}, bytes.first(23)));
}
