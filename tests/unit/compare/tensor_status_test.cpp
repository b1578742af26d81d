#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/tensor_status.hpp>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

/// Two query rows of two heads, and outputs of two columns.
reference::Problem two_rows_of_two_heads() {
  reference::Problem problem;
  problem.q = tensors::view(std::vector<double>(4), 2, 2, 1);
  return problem;
}

TensorErrors errors_of_sums(std::int64_t count, std::int64_t nan, std::int64_t inf) {
  TensorErrors errors;
  errors.sums.count = count;
  errors.sums.nan = nan;
  errors.sums.inf = inf;
  errors.sums.expected_squared = 1e-3;
  return errors;
}

/// All zero but for one element.
tensor::View3 zeros_but(std::size_t at, double value) {
  std::vector<double> values(8, 0.0);
  values[at] = value;
  return tensors::view(values, 2, 2, 2);
}

Status status_of_zeros_but(std::size_t at, double value) {
  return status_of(two_rows_of_two_heads(), zeros_but(at, value), errors_of_sums(8, 0, 0));
}

} // namespace

TEST_CASE("an output of which nothing was compared is empty, one that is not there is missing",
          "[compare][tensor_status]") {
  const auto problem = two_rows_of_two_heads();
  const auto view = zeros_but(0, 1.0);
  CHECK(status_of(problem, std::nullopt, errors_of_sums(8, 0, 0)) == Status::missing);
  CHECK(status_of(problem, view, errors_of_sums(0, 0, 0)) == Status::empty);
  CHECK(status_of(problem, view, errors_of_sums(1, 0, 0)) == Status::match);
  CHECK(status_of(problem, view, errors_of_sums(1, 1, 0)) == Status::not_finite);
  CHECK(status_of(problem, view, errors_of_sums(1, 0, 1)) == Status::not_finite);
  // None of them finite, and as many of one kind as of the other.
  CHECK(status_of(problem, view, errors_of_sums(0, 1, 0)) == Status::not_finite);
  CHECK(status_of(problem, view, errors_of_sums(0, 0, 1)) == Status::not_finite);
  CHECK(status_of(problem, view, errors_of_sums(2, 2, 0)) == Status::not_finite);
  CHECK(status_of(problem, view, errors_of_sums(2, 1, 3)) == Status::not_finite);
  CHECK(status_of(problem, view, errors_of_sums(0, 3, 3)) == Status::not_finite);
}

TEST_CASE("an output is all zero when every element of it is and none should be",
          "[compare][tensor_status]") {
  CHECK(status_of_zeros_but(0, 0.0) == Status::all_zero);
  for (std::size_t at = 0; at < 8; ++at) {
    CHECK(status_of_zeros_but(at, 1.0) == Status::match);
    CHECK(status_of_zeros_but(at, -1e-30) == Status::match);
  }
  auto problem = two_rows_of_two_heads();
  TensorErrors right = errors_of_sums(8, 0, 0);
  right.sums.expected_squared = 0.0;
  CHECK(status_of(problem, zeros_but(0, 0.0), right) == Status::match);
  // Elements of other rows and heads than the problem's do not count.
  problem.rows = {1};
  CHECK(status_of(problem, zeros_but(3, 1.0), errors_of_sums(4, 0, 0)) == Status::all_zero);
  problem.heads = {0};
  CHECK(status_of(problem, zeros_but(7, 1.0), errors_of_sums(2, 0, 0)) == Status::all_zero);
  CHECK(status_of(problem, zeros_but(5, 1.0), errors_of_sums(2, 0, 0)) == Status::match);
}

TEST_CASE("an output that is not finite is judged by the rest of it", "[compare][tensor_status]") {
  CHECK(can_be_judged(Status::match));
  CHECK(can_be_judged(Status::not_finite));
  for (const Status status :
       {Status::mismatch, Status::missing, Status::empty, Status::all_zero, Status::not_judged}) {
    CHECK_FALSE(can_be_judged(status));
  }
}

TEST_CASE("a match of which a test failed is a mismatch, what else is wrong stays what it is",
          "[compare][tensor_status]") {
  TensorErrors errors = errors_of_sums(5, 1, 2);
  errors.worst.add({{1, 0, 1}, 3.0, 2.0});
  const auto finished = [&](std::vector<std::string> reasons, Status status) {
    TensorComparison tested;
    tested.reasons = std::move(reasons);
    return finish(tested, "out", status, errors);
  };
  const TensorComparison match = finished({}, Status::match);
  CHECK(match.status == Status::match);
  CHECK(match.name == "out");
  CHECK(match.sums.count == 5);
  REQUIRE(match.worst.size() == 1);
  CHECK(match.worst[0].got == 3.0);
  CHECK(finished({"a test"}, Status::match).status == Status::mismatch);
  CHECK(finished({"a test"}, Status::match).reasons == std::vector<std::string>{"a test"});
  CHECK(finished({"a test"}, Status::all_zero).status == Status::all_zero);
  const TensorComparison broken = finished({"a test"}, Status::not_finite);
  CHECK(broken.status == Status::not_finite);
  CHECK(broken.reasons == std::vector<std::string>{"1 NaN and 2 infinite of 8 elements", "a test"});
}
