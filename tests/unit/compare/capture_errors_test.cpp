#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/capture_errors.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

/// Errors of a row that sees one key, so that its reference is `value`.
CaptureErrors errors_of_row(const std::vector<double>& value, const std::vector<double>& out,
                            double lse) {
  const std::int64_t width = std::ssize(value);
  tensors::Capture capture;
  capture.q = tensors::view({1.0, 1.0}, 1, 1, 2);
  capture.k = tensors::view({3.0, 1.0}, 1, 1, 2);
  capture.v = tensors::view(value, 1, 1, width);
  capture.out = tensors::view(out, 1, 1, width);
  capture.lse = tensors::view({lse}, 1, 1, 1);
  capture.heads = capture.query_rows = capture.key_rows = 1;
  capture.sequences = {{0, 1, 0, 1}};
  const auto problem = reference::make_problem(capture, reference::Form::expanded, 0.5, 1);
  REQUIRE(problem.has_value());
  const auto errors = collect_errors(*problem, capture);
  REQUIRE(errors.has_value());
  return *errors;
}

} // namespace

TEST_CASE("a relative error is over the number or the rms of its row, whichever is larger",
          "[capture_errors]") {
  // Of (3, 4) the rms is sqrt(12.5) = 3.54; the lse is 0.5 · (3 + 1) = 2.
  const CaptureErrors small = errors_of_row({3.0, 4.0}, {3.5, 4.0}, 1.5);
  CHECK(small.out.sums.max_rel == Approx(0.5 / std::sqrt(12.5)).epsilon(1e-12));
  CHECK(small.out.error[0] == Approx(0.5 / 5.0).epsilon(1e-12));
  CHECK(small.out.bias[0] == Approx(0.5 * 3.0 / 25.0).epsilon(1e-12));
  CHECK(small.lse.sums.max_rel == Approx(0.25).epsilon(1e-12));
  CHECK(small.lse.error[0] == Approx(0.5).epsilon(1e-12));
  CHECK(small.lse.bias[0] == Approx(-0.5).epsilon(1e-12));
  const CaptureErrors large = errors_of_row({3.0, 4.0}, {3.0, 4.5}, 2.0);
  CHECK(large.out.sums.max_rel == Approx(0.5 / 4.0).epsilon(1e-12));
  CHECK(large.lse.sums.max_rel == 0.0);
}

TEST_CASE("an error of 1 is an error like any other", "[compare][capture_errors]") {
  const CaptureErrors errors = errors_of_row({3.0, 4.0}, {4.0, 4.0}, 2.0);
  CHECK(errors.out.sums.max_rel == Approx(1.0 / std::sqrt(12.5)).epsilon(1e-12));
}

TEST_CASE("a row of zeros that is right has no relative error", "[capture_errors]") {
  const CaptureErrors errors = errors_of_row({0.0, 0.0}, {0.0, 0.0}, 2.0);
  CHECK(errors.out.sums.max_rel == 0.0);
  CHECK(errors.out.error[0] == 0.0);
}

namespace {

/// Three rows of two heads, of which the first row sees no key, the second one and the third two.
/// All logits are 0, so that the references are, by head,
///   second row: (1, 0) and (3, 4), lse 0;
///   third row: (2, 1) and (4, 2), the means of the keys' values, lse ln 2.
tensors::Capture rows_of_means() {
  tensors::Capture capture;
  capture.q = tensors::view(std::vector<double>(6, 0.0), 3, 2, 1);
  capture.k = tensors::view({1.0, 1.0, 1.0, 1.0}, 2, 2, 1);
  capture.v = tensors::view({1.0, 0.0, 3.0, 4.0, 3.0, 2.0, 5.0, 0.0}, 2, 2, 2);
  capture.heads = 2;
  capture.query_rows = 3;
  capture.key_rows = 2;
  capture.sequences = {{0, 3, 0, 2}};
  return capture;
}

/// With these outputs of the second and third row.
tensors::Capture rows_of_means(const std::vector<double>& out, const std::vector<double>& lse) {
  tensors::Capture capture = rows_of_means();
  std::vector<double> all_out(4, 99.0);
  all_out.insert(all_out.end(), out.begin(), out.end());
  capture.out = tensors::view(all_out, 3, 2, 2);
  std::vector<double> all_lse(2, 99.0);
  all_lse.insert(all_lse.end(), lse.begin(), lse.end());
  capture.lse = tensors::view(all_lse, 3, 2, 1);
  return capture;
}

reference::Problem problem_of_means(const tensors::Capture& capture) {
  auto problem = reference::make_problem(capture, reference::Form::expanded, 1.0, 0);
  REQUIRE(problem.has_value());
  problem->threads = 1;
  return *problem;
}

const std::vector<double> k_mean_out = {1.0, 0.0, 3.0, 4.0, 2.0, 1.0, 4.0, 2.0};
const std::vector<double> k_mean_lse = {0.0, 0.0, std::log(2.0), std::log(2.0)};

using Numbers = std::vector<double>;

} // namespace

TEST_CASE("errors are kept by head and row, and rows without keys have none",
          "[compare][capture_errors]") {
  // Off by (0, 2) of (1, 0), (0.6, 0) of (3, 4), (0, 0) and (0, -4) of (4, 2).
  const auto capture = rows_of_means({1.0, 2.0, 3.6, 4.0, 2.0, 1.0, 4.0, -2.0},
                                     {0.25, -0.5, std::log(2.0) + 1.0, std::log(2.0)});
  const auto errors = collect_errors(problem_of_means(capture), capture);
  REQUIRE(errors.has_value());
  CHECK(errors->heads == std::vector<std::int64_t>{0, 1});
  CHECK(errors->rows == std::vector<std::int64_t>{0, 1, 2});
  const auto approximately = [](const Numbers& got, const Numbers& expected) {
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO(i);
      CHECK(got[i] == Approx(expected[i]).margin(1e-12));
    }
  };
  approximately(errors->out.error, {-1.0, 2.0, 0.0, -1.0, 0.6 / 5.0, 4.0 / std::sqrt(20.0)});
  approximately(errors->out.bias, {0.0, 0.0, 0.0, 0.0, 0.6 * 3.0 / 25.0, -4.0 * 2.0 / 20.0});
  approximately(errors->lse.error, {-1.0, 0.25, 1.0, -1.0, 0.5, 0.0});
  approximately(errors->lse.bias, {0.0, 0.25, 1.0, 0.0, -0.5, 0.0});
  CHECK(errors->reference_lse[0] == -std::numeric_limits<double>::infinity());
  CHECK(errors->reference_lse[1] == 0.0);
  CHECK(errors->reference_lse[5] == Approx(std::log(2.0)));
  CHECK(errors->reference_not_finite == 0);
  // The sums and the worst elements are those of all rows.
  CHECK(errors->out.sums.count == 8);
  CHECK(errors->lse.sums.count == 4);
  CHECK(errors->out.sums.error_squared == Approx(4.0 + 0.36 + 16.0));
  CHECK(errors->out.sums.expected_squared == Approx(1.0 + 25.0 + 5.0 + 20.0));
  CHECK(errors->lse.sums.error_squared == Approx(0.0625 + 0.25 + 1.0));
  CHECK(errors->out.sums.max_abs == 4.0);
  CHECK(errors->out.sums.max_rel == Approx(2.0 / std::sqrt(0.5))); // the element's own 0 is less
  CHECK(errors->lse.sums.max_rel == Approx(1.0));
  REQUIRE(errors->out.worst.elements.size() == 3);
  CHECK(errors->out.worst.elements[0].index == std::array<std::int64_t, 3>{2, 1, 1});
  CHECK(errors->out.worst.elements[0].got == -2.0);
  CHECK(errors->out.worst.elements[0].expected == Approx(2.0));
  CHECK(errors->out.worst.elements[1].index == std::array<std::int64_t, 3>{1, 0, 1});
  REQUIRE(errors->lse.worst.elements.size() == 3);
  CHECK(errors->lse.worst.elements[0].index == std::array<std::int64_t, 3>{2, 0, 0});
}

TEST_CASE("errors of chosen rows and heads are kept in their places", "[compare][capture_errors]") {
  const auto capture =
      rows_of_means({9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 4.0, 4.0}, {9.0, 9.0, 9.0, 1.0});
  auto problem = problem_of_means(capture);
  problem.heads = {1};
  problem.rows = {0, 2};
  const auto errors = collect_errors(problem, capture);
  REQUIRE(errors.has_value());
  REQUIRE(errors->out.error.size() == 2);
  CHECK(errors->out.error[0] == -1.0);
  CHECK(errors->out.error[1] == Approx(2.0 / std::sqrt(20.0)));
  CHECK(errors->lse.error[1] == Approx(1.0 - std::log(2.0)));
  CHECK(errors->out.worst.elements[0].index == std::array<std::int64_t, 3>{2, 1, 1});
}

TEST_CASE("an lse in base 2 is compared in natural logarithms", "[compare][capture_errors]") {
  auto capture = rows_of_means(k_mean_out, {0.0, 0.0, 1.0, 3.0});
  capture.lse_base = tensor::LseBase::two;
  const auto errors = collect_errors(problem_of_means(capture), capture);
  CHECK(errors->lse.error[2] == Approx(0.0).margin(1e-12));
  CHECK(errors->lse.bias[5] == Approx(2.0 * std::log(2.0)));
}

TEST_CASE("a captured row that is not finite is infinitely far off and leans to no side",
          "[compare][capture_errors]") {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto capture = rows_of_means({1.0, 0.0, 3.0, std::nan(""), 2.0, 1.0, infinity, 2.0},
                                     {0.0, -infinity, std::log(2.0), std::nan("")});
  const auto errors = collect_errors(problem_of_means(capture), capture);
  for (const TensorErrors* tensor : {&errors->out, &errors->lse}) {
    CHECK(tensor->error[1] == 0.0);
    CHECK(tensor->error[4] == infinity);
    CHECK(tensor->error[5] == infinity);
    CHECK(tensor->bias[4] == 0.0);
    CHECK(tensor->bias[5] == 0.0);
    CHECK(tensor->sums.nan == 1);
    CHECK(tensor->sums.inf == 1);
    CHECK(tensor->worst.elements.size() == 2);
  }
  CHECK(errors->reference_not_finite == 0);
}

TEST_CASE("a row whose inputs give no finite attention is counted and compared with nothing",
          "[compare][capture_errors]") {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    auto capture = rows_of_means(k_mean_out, k_mean_lse);
    capture.v = tensors::view({1.0, 0.0, 3.0, bad, 3.0, 2.0, 5.0, 0.0}, 2, 2, 2);
    const auto errors = collect_errors(problem_of_means(capture), capture);
    CHECK(errors->reference_not_finite == 2); // both rows of the second head
    CHECK(errors->out.error == Numbers{-1.0, 0.0, 0.0, -1.0, -1.0, -1.0});
    CHECK(errors->lse.error[5] == -1.0);
    CHECK(errors->out.sums.count == 4);
    // Logits that are not finite leave no lse either.
    capture = rows_of_means(k_mean_out, k_mean_lse);
    capture.k = tensors::view({bad, 1.0, 1.0, 1.0}, 2, 2, 1);
    CHECK(collect_errors(problem_of_means(capture), capture)->reference_not_finite == 2);
  }
}

TEST_CASE("a row of zeros that should be is infinitely far off when it holds a number",
          "[compare][capture_errors]") {
  const CaptureErrors errors = errors_of_row({0.0, 0.0}, {0.0, 1e-9}, 2.0);
  CHECK(errors.out.error[0] == std::numeric_limits<double>::infinity());
  CHECK(errors.out.bias[0] == 0.0);
  CHECK(errors.out.sums.max_rel == std::numeric_limits<double>::infinity());
}

TEST_CASE("an output that was not captured has no errors", "[compare][capture_errors]") {
  auto capture = rows_of_means(k_mean_out, k_mean_lse);
  capture.out.reset();
  const auto errors = collect_errors(problem_of_means(capture), capture);
  CHECK_FALSE(errors->out.present);
  CHECK(errors->out.error.empty());
  CHECK(errors->out.sums.count == 0);
  CHECK(errors->lse.present);
  CHECK(errors->lse.error.size() == 6);
  capture = rows_of_means(k_mean_out, k_mean_lse);
  capture.lse.reset();
  CHECK(collect_errors(problem_of_means(capture), capture)->lse.error.empty());
}

TEST_CASE("progress ends at the number of logits of the chosen heads and rows",
          "[compare][capture_errors]") {
  const auto capture = rows_of_means(k_mean_out, k_mean_lse);
  auto problem = problem_of_means(capture);
  const auto last_of = [&] {
    std::pair<std::size_t, std::size_t> last;
    REQUIRE(collect_errors(problem, capture, [&](std::size_t done, std::size_t total) {
              CHECK(done >= last.first);
              last = {done, total};
            }).has_value());
    return last;
  };
  CHECK(last_of() == std::pair<std::size_t, std::size_t>(6, 6)); // twice 0 + 1 + 2
  problem.heads = {0};
  problem.rows = {1};
  CHECK(last_of() == std::pair<std::size_t, std::size_t>(1, 1));
  problem.rows = {};
  problem.sequences = {{0, 2, 0, 2}}; // the third row belongs to none: 1 + 2
  CHECK(last_of() == std::pair<std::size_t, std::size_t>(3, 3));
}

TEST_CASE("a problem that is not valid is not computed", "[compare][capture_errors]") {
  const auto capture = rows_of_means(k_mean_out, k_mean_lse);
  auto problem = problem_of_means(capture);
  problem.softmax_scale = std::nan("");
  CHECK_FALSE(collect_errors(problem, capture).has_value());
}
