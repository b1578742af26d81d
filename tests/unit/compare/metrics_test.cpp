#include "support/catch.hpp"

#include <mla_scale/compare/metrics.hpp>

#include <cmath>
#include <limits>

using namespace mla_scale::compare;

namespace {

ErrorSums sums_of(const std::vector<double>& got, const std::vector<double>& expected) {
  RowError error;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error.add(static_cast<std::int64_t>(i), got[i], expected[i]);
  }
  return error.sums;
}

} // namespace

TEST_CASE("calc_diff is DeepGEMM's formula", "[compare][metrics]") {
  // 1 - 2·(1·2 + 2·2) / (1 + 4 + 4 + 4) = 1 - 12/13.
  CHECK(sums_of({1.0, 2.0}, {2.0, 2.0}).calc_diff() == Approx(1.0 / 13.0).epsilon(1e-15));
  CHECK(sums_of({1.0, 2.0}, {2.0, 2.0}).relative_rms()
        == Approx(std::sqrt(1.0 / 8.0)).epsilon(1e-15));
  CHECK(sums_of({1.5, -2.0}, {1.5, -2.0}).calc_diff() == 0.0);
}

TEST_CASE("a zero reference gives no NaN that a comparison would pass", "[compare][metrics]") {
  CHECK(sums_of({0.0, 0.0}, {0.0, 0.0}).calc_diff() == 0.0);
  CHECK(sums_of({0.0, 0.1}, {0.0, 0.0}).calc_diff() == 1.0);
  CHECK(std::isinf(sums_of({0.0, 0.1}, {0.0, 0.0}).relative_rms()));
}

TEST_CASE("NaN and infinities are counted and are the worst elements", "[compare][metrics]") {
  const double infinity = std::numeric_limits<double>::infinity();
  const ErrorSums sums = sums_of({std::nan(""), infinity, -infinity, 1.0}, {1.0, 1.0, 1.0, 1.0});
  CHECK(sums.nan == 1);
  CHECK(sums.inf == 2);
  CHECK(sums.count == 1);
  CHECK(!sums.finite());
  CHECK(sums.calc_diff() == 0.0);
  CHECK(std::isnan(sums_of({std::nan("")}, {1.0}).calc_diff()));
  WorstElements worst;
  worst.add({{0, 0, 0}, 5.0, 1.0});
  worst.add({{0, 1, 0}, std::nan(""), 1.0});
  worst.add({{0, 2, 0}, -1.0, -5.5});
  CHECK(worst.elements[0].index[1] == 1);
  CHECK(worst.elements[1].index[1] == 2);
  CHECK(worst.elements[2].index[1] == 0);
}

TEST_CASE("worst elements keep ten and do not depend on the order", "[compare][metrics]") {
  WorstElements forwards;
  WorstElements backwards;
  for (int i = 0; i < 40; ++i) {
    forwards.add({{i, 0, 0}, 1.0 + (i % 7), 1.0});
    backwards.add({{39 - i, 0, 0}, 1.0 + ((39 - i) % 7), 1.0});
  }
  REQUIRE(forwards.elements.size() == 10);
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(forwards.elements[i].index == backwards.elements[i].index);
  }
  CHECK(forwards.elements[0].index[0] == 6);
}

TEST_CASE("an infinity where it is expected is right", "[compare][metrics]") {
  const double infinity = std::numeric_limits<double>::infinity();
  const ErrorSums sums = sums_of({infinity, -infinity, 1.0}, {infinity, -infinity, 1.0});
  CHECK(sums.finite());
  CHECK(sums.count == 3);
  CHECK(sums.error_squared == 0.0);
  CHECK(sums_of({infinity}, {-infinity}).inf == 1);
}

TEST_CASE("sums of two rows keep the largest errors and add the rest", "[compare][metrics]") {
  ErrorSums sums = sums_of({1.5, 2.0}, {1.0, 2.0});
  sums.max_rel = 0.25;
  ErrorSums other = sums_of({3.0, std::nan("")}, {3.25, 1.0});
  other.max_rel = 0.125;
  for (const auto& [first, second] : {std::pair(sums, other), std::pair(other, sums)}) {
    ErrorSums both = first;
    both += second;
    CHECK(both.count == 3);
    CHECK(both.nan == 1);
    CHECK(both.max_abs == 0.5);
    CHECK(both.max_rel == 0.25);
    CHECK(both.error_squared == 0.25 + 0.0625);
    CHECK(both.got_squared == 2.25 + 4.0 + 9.0);
    CHECK(both.expected_squared == 1.0 + 4.0 + 3.25 * 3.25);
  }
}

TEST_CASE("an element that is right is not among the worst", "[compare][metrics]") {
  WorstElements worst;
  worst.add({{0, 0, 0}, 1.0, 1.0});
  CHECK(worst.elements.empty());
}
