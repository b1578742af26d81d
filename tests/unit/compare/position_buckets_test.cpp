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

TEST_CASE("positions that are few have a range each", "[compare][position_buckets]") {
  for (const std::int64_t rows : {1, 2, 15, 16}) {
    const auto problem = positions_behind(0, rows);
    const PositionBuckets buckets(problem);
    REQUIRE(buckets.count() == static_cast<std::size_t>(rows));
    for (std::int64_t row = 0; row < rows; ++row) {
      CHECK(buckets.bucket_of(row) == static_cast<std::size_t>(row));
      CHECK(buckets.first(static_cast<std::size_t>(row)) == row);
      CHECK(buckets.last(static_cast<std::size_t>(row)) == row);
    }
  }
}

TEST_CASE("one position too many makes all ranges wider, the last may be shorter",
          "[compare][position_buckets]") {
  // 0, then 16 positions in ranges of two; 17 behind a prefix, in ranges of two.
  const auto apart = positions_behind(0, 17);
  CHECK(PositionBuckets(apart).count() == 9);
  const auto behind = positions_behind(1, 17);
  const PositionBuckets buckets(behind);
  REQUIRE(buckets.count() == 9);
  CHECK(buckets.first(8) == 17);
  CHECK(buckets.last(8) == 17);
  CHECK(buckets.last(7) == 16);
  CHECK(buckets.bucket_of(1) == 0);
  CHECK(buckets.bucket_of(2) == 1);
  const auto fitting = positions_behind(1, 16);
  CHECK(PositionBuckets(fitting).count() == 16);
}

TEST_CASE("rows that see no key, or belong to no sequence, have no position",
          "[compare][position_buckets]") {
  reference::Problem problem =
      positions_behind(-2, 5); // three keys for the last three of five rows
  const PositionBuckets buckets(problem);
  CHECK(buckets.position_of(0) == -1);
  CHECK(buckets.position_of(1) == -1);
  CHECK(buckets.position_of(2) == 0);
  CHECK(buckets.position_of(4) == 2);
  CHECK(buckets.count() == 3);
  CHECK(buckets.last(2) == 2);
  problem.rows = {0, 1};
  CHECK(PositionBuckets(problem).count() == 0);
  problem.rows = {};
  problem.sequences = {{0, 4, 0, 4}};
  CHECK(buckets.position_of(4) == -1);
  CHECK(PositionBuckets(problem).count() == 4);
}

TEST_CASE("without a mask a row's position is its place in its sequence",
          "[compare][position_buckets]") {
  reference::Problem problem = positions_behind(0, 5);
  problem.sequences = {{0, 2, 0, 7}, {2, 5, 7, 14}};
  problem.causal = false;
  const PositionBuckets buckets(problem);
  CHECK(buckets.position_of(1) == 1);
  CHECK(buckets.position_of(2) == 0);
  CHECK(buckets.position_of(4) == 2);
  CHECK(buckets.count() == 3);
  problem.causal = true; // behind five keys, and behind four
  CHECK(buckets.position_of(1) == 6);
  CHECK(buckets.position_of(2) == 4);
}
