#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/position_buckets.hpp>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

reference::Problem positions_behind(std::int64_t prefix, std::int64_t rows) {
  reference::Problem problem;
  problem.q = tensors::view(std::vector<double>(static_cast<std::size_t>(rows)), rows, 1, 1);
  problem.sequences = {{0, rows, 0, prefix + rows}};
  return problem;
}

} // namespace

TEST_CASE("positions are cut evenly, however long the prefix before them", "[position_buckets]") {
  const auto problem = positions_behind(1000, 32);
  const PositionBuckets buckets(problem);
  REQUIRE(buckets.count() == 16); // 32 positions, two to a range
  for (std::size_t i = 0; i < 16; ++i) {
    CHECK(buckets.first(i) == 1000 + 2 * static_cast<std::int64_t>(i));
    CHECK(buckets.last(i) == 1001 + 2 * static_cast<std::int64_t>(i));
  }
  CHECK(buckets.bucket_of(31) == 15);
}

TEST_CASE("position 0 has a range of its own", "[position_buckets]") {
  const auto problem = positions_behind(0, 31);
  const PositionBuckets buckets(problem);
  REQUIRE(buckets.count() == 16); // 0, then 30 positions in 15 ranges
  CHECK(buckets.last(0) == 0);
  CHECK(buckets.first(1) == 1);
  CHECK(buckets.last(1) == 2);
  CHECK(buckets.last(15) == 30);
}
