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

TEST_CASE("sums of a row hold every element's square", "[compare][metrics]") {
  // Errors 1, -3 and 0.5; the largest comes in the middle.
  const ErrorSums sums = sums_of({3.0, -1.0, 4.5}, {2.0, 2.0, 4.0});
  CHECK(sums.count == 3);
  CHECK(sums.got_squared == 9.0 + 1.0 + 20.25);
  CHECK(sums.expected_squared == 4.0 + 4.0 + 16.0);
  CHECK(sums.error_squared == 1.0 + 9.0 + 0.25);
  CHECK(sums.max_abs == 3.0);
  CHECK(sums.max_rel == 0.0); // of the row, which whoever has all of it fills in
}

TEST_CASE("a row's worst element is the first of its largest errors", "[compare][metrics]") {
  RowError error;
  error.add(0, 1.0, 1.0);
  CHECK(error.worst_column == 0); // some element, though none is wrong
  CHECK(error.worst_error == 0.0);
  error.add(1, 3.0, 1.0);
  error.add(2, -1.0, 1.0);
  error.add(3, 1.5, 1.0);
  CHECK(error.worst_column == 1);
  CHECK(error.worst_error == 2.0);
  CHECK(error.worst_got == 3.0);
  CHECK(error.worst_expected == 1.0);

  RowError first;
  first.add(0, 3.0, 1.0);
  first.add(1, 1.5, 1.0);
  CHECK(first.worst_column == 0);
}

TEST_CASE("metrics of one element, and of none", "[compare][metrics]") {
  // |x-y|² = 1, |x|² + |y|² = 5, |y|² = 4.
  CHECK(sums_of({1.0}, {2.0}).calc_diff() == 0.2);
  CHECK(sums_of({1.0}, {2.0}).relative_rms() == 0.5);
  CHECK(sums_of({2.0}, {2.0}).relative_rms() == 0.0);
  CHECK(std::isnan(ErrorSums{}.calc_diff()));
  CHECK(std::isnan(ErrorSums{}.relative_rms()));
}

TEST_CASE("infinities of two rows are counted together", "[compare][metrics]") {
  const double infinity = std::numeric_limits<double>::infinity();
  ErrorSums sums = sums_of({infinity, 1.0}, {1.0, 1.0});
  sums += sums_of({-infinity, infinity, std::nan("")}, {1.0, 1.0, 1.0});
  CHECK(sums.inf == 3);
  CHECK(sums.nan == 1);
  CHECK(sums.count == 1);
}

TEST_CASE("a small error is among the worst when there is no larger one", "[compare][metrics]") {
  WorstElements worst;
  worst.add({{1, 0, 0}, 3.0, 2.0});
  worst.add({{0, 0, 0}, 1.0, 2.0});
  worst.add({{2, 0, 0}, 2.0, 2.0});
  worst.add({{1, 0, 0}, 1.0, 2.0}); // as large an error of the same element: after the first
  REQUIRE(worst.elements.size() == 3);
  CHECK(worst.elements[0].index[0] == 0);
  CHECK(worst.elements[1].got == 3.0);
  CHECK(worst.elements[2].got == 1.0);
}

TEST_CASE("states of a tensor have names", "[compare][metrics]") {
  CHECK(to_string(Status::match) == "match");
  CHECK(to_string(Status::mismatch) == "mismatch");
  CHECK(to_string(Status::missing) == "missing");
  CHECK(to_string(Status::empty) == "empty");
  CHECK(to_string(Status::all_zero) == "all_zero");
  CHECK(to_string(Status::not_finite) == "not_finite");
  CHECK(to_string(Status::not_judged) == "not_judged");
}
