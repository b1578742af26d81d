#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/capture_errors.hpp>

#include <cmath>

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

TEST_CASE("a row of zeros that is right has no relative error", "[capture_errors]") {
  const CaptureErrors errors = errors_of_row({0.0, 0.0}, {0.0, 0.0}, 2.0);
  CHECK(errors.out.sums.max_rel == 0.0);
  CHECK(errors.out.error[0] == 0.0);
}
