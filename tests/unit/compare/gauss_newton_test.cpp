#include "support/catch.hpp"

#include <mla_scale/compare/gauss_newton.hpp>
#include <mla_scale/core/number.hpp>

#include <cmath>
#include <vector>

// Steps on sums that a test makes up, and errors of sums by hand.

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

/// Sums of `count` rows.
FitStep sums_of(double gradient, double curvature, double residual, std::size_t count = 1) {
  FitStep step;
  step.gradient = gradient;
  step.curvature = curvature;
  step.residual = residual;
  step.rows.resize(count);
  return step;
}

/// A descent from 0 whose step wants to go `wanted`; what is left is 1 there and `elsewhere`
/// anywhere else, where nothing pulls any more.
Descent descent_of(double wanted, double elsewhere) {
  return descend(
      [&](double t) {
        return t == 0.0 ? sums_of(-wanted, 1.0, 1.0) : sums_of(0.0, 1.0, elsewhere);
      },
      0.0);
}

} // namespace

TEST_CASE("rows add up, and so do the sums of heads", "[compare][gauss_newton]") {
  FitStep some;
  some.add(1.0, 2.0, 3.0);
  some.add(10.0, 20.0, 30.0);
  FitStep sum;
  sum.add(100.0, 200.0, 300.0);
  sum += some;
  CHECK(sum.gradient == 111.0);
  CHECK(sum.curvature == 222.0);
  CHECK(sum.residual == 333.0);
  REQUIRE(sum.rows.size() == 3);
  CHECK(sum.rows[0].gradient == 100.0);
  CHECK(sum.rows[2].gradient == 10.0);
  CHECK(sum.rows[2].curvature == 20.0);
}

TEST_CASE("a linear residual is fitted in one step", "[compare][gauss_newton]") {
  // r = 2 (t - 0.3): J = 2.
  const auto evaluate = [](double t) {
    const double r = 2.0 * (t - 0.3);
    return sums_of(2.0 * r, 4.0, r * r);
  };
  const Descent fitted = descend(evaluate, 0.1);
  CHECK(fitted.usable);
  CHECK(fitted.converged);
  CHECK(fitted.log_ratio == Approx(0.3).epsilon(1e-14));
  CHECK(fitted.step.residual < 1e-30);
}

TEST_CASE("a descent that never ends is given up after 20 steps of 0.7",
          "[compare][gauss_newton]") {
  const Descent fitted = descend([](double t) { return sums_of(-5.0, 1.0, 100.0 - t); }, 1.0);
  CHECK(fitted.usable);
  CHECK(!fitted.converged);
  CHECK(fitted.log_ratio == Approx(1.0 + 20 * 0.7).epsilon(1e-12));
  CHECK(descend([](double t) { return sums_of(5.0, 1.0, 100.0 + t); }, 1.0).log_ratio
        == Approx(1.0 - 20 * 0.7).epsilon(1e-12));
}

TEST_CASE("a step that makes it worse is halved, five times", "[compare][gauss_newton]") {
  // A step of 1/2 is wanted; steps of up to `good` help and lead to where nothing pulls.
  const auto fitted = [](double good) {
    return descend(
        [good](double t) {
          return t == 0.0 ? sums_of(-0.5, 1.0, 1.0) : sums_of(0.0, 1.0, t <= good ? 0.5 : 2.0);
        },
        0.0);
  };
  CHECK(fitted(0.5).log_ratio == 0.5);
  CHECK(fitted(0.25).log_ratio == 0.25);
  CHECK(fitted(0.2).log_ratio == 0.125);
  CHECK(fitted(1.0 / 64).log_ratio == 1.0 / 64);
  CHECK(fitted(1.0 / 64).converged);
  CHECK(fitted(1.0 / 65).log_ratio == 0.0);
  CHECK(!fitted(1.0 / 65).converged);
}

TEST_CASE("a step that leaves as much as there was is taken, one that leaves no number is not",
          "[compare][gauss_newton]") {
  CHECK(descent_of(0.5, 1.0).log_ratio == 0.5);
  CHECK(descent_of(0.5, std::nan("")).log_ratio == 0.0);
}

TEST_CASE("a fit has converged where it wants less than 1e-10, or less than 1e-6 and no step helps",
          "[compare][gauss_newton]") {
  CHECK(descent_of(0.9e-10, 0.0).log_ratio == 0.0);
  CHECK(descent_of(0.9e-10, 0.0).converged);
  CHECK(descent_of(1e-10, 0.0).log_ratio == 1e-10);
  CHECK(descent_of(1.5e-10, 0.0).log_ratio == 1.5e-10);
  CHECK(descent_of(0.9e-6, 2.0).converged);
  CHECK(descent_of(-0.9e-6, 2.0).converged);
  CHECK(!descent_of(1e-6, 2.0).converged);
  CHECK(!descent_of(1.5e-6, 2.0).converged);
}

TEST_CASE("sums without information, or that are no numbers, are of no use",
          "[compare][gauss_newton]") {
  const auto usable = [](double gradient, double curvature) {
    return descend([=](double) { return sums_of(gradient, curvature, 1.0); }, 0.0).usable;
  };
  CHECK(usable(1.0, 1e-30));
  CHECK(!usable(1.0, 0.0));
  CHECK(!usable(std::nan(""), 1.0));
  CHECK(!usable(k_infinity, 1.0));
}

TEST_CASE("a descent begins at the scale, half, a quarter or twice of it, where least is left",
          "[compare][gauss_newton]") {
  for (const double best : {1.0, 0.5, 0.25, 2.0}) {
    const auto evaluate = [best](double t) {
      REQUIRE(std::isfinite(t));
      return sums_of(0.0, 1.0, t == std::log(best) ? 1.0 : 9.0);
    };
    CHECK(minimise(evaluate).log_ratio == std::log(best));
  }
  CHECK(minimise([](double) { return sums_of(0.0, 1.0, 9.0); }).log_ratio == 0.0);
  // So does one that is infinitely wrong everywhere.
  CHECK(minimise([](double) { return sums_of(0.0, 1.0, k_infinity); }).log_ratio == 0.0);
}

TEST_CASE("a start where no row is a number is none", "[compare][gauss_newton]") {
  const auto evaluate = [](double t) {
    return t == std::log(0.5) ? sums_of(0.0, 1.0, 5.0) : sums_of(0.0, 0.0, 0.0, 0);
  };
  CHECK(minimise(evaluate).log_ratio == std::log(0.5));
}

TEST_CASE("a start within 0.1 a row is near enough, even where another leaves less",
          "[compare][gauss_newton]") {
  // Of four rows 0.1² · 4 = 0.04.
  const auto start = [](double residual) {
    return minimise(
               [residual](double t) { return sums_of(0.0, 1.0, t == 0.0 ? residual : 0.001, 4); })
        .log_ratio;
  };
  CHECK(start(0.039) == 0.0);
  CHECK(start(0.1 * 0.1 * 4) == std::log(0.5));
  CHECK(start(0.041) == std::log(0.5));
}

TEST_CASE("the error of two unequal rows is that of their gradients, each without its own share",
          "[compare][gauss_newton]") {
  // Shares 1/4 and 3/4: (1 / (3/4))² + (2 / (1/4))² = 16/9 + 64 is the variance of the gradient.
  // There are 4² / (1 + 9) = 1.6 rows of equal weight, 0.6 degrees of freedom: 1 + 2.5/0.6 +
  // 5.75/0.36 is more than 10, the most.
  FitStep step;
  step.add(1.0, 1.0, 0.0);
  step.add(2.0, 3.0, 0.0);
  CHECK(relative_error(step, 1)
        == Approx(10.0 * std::sqrt(16.0 / 9.0 + 64.0) / 4.0).epsilon(1e-12));
  // Of heads that differ more than rows do, it is that of the heads.
  step.between_heads = 100.0;
  CHECK(relative_error(step, 1) == Approx(10.0 * 10.0 / 4.0).epsilon(1e-12));
  step.between_heads = 1.0;
  CHECK(relative_error(step, 1)
        == Approx(10.0 * std::sqrt(16.0 / 9.0 + 64.0) / 4.0).epsilon(1e-12));
}

TEST_CASE("few rows make the error of a scale larger, as Student's t does",
          "[compare][gauss_newton]") {
  // Five equal rows: shares 1/5, so 5 · (2 / (4/5))² = 31.25; 4 degrees of freedom.
  FitStep step;
  for (int i = 0; i < 5; ++i) {
    step.add(2.0, 3.0, 0.0);
  }
  const double factor = 1.0 + 2.5 / 4 + 5.75 / 16;
  CHECK(relative_error(step, 1) == Approx(factor * std::sqrt(31.25) / 15.0).epsilon(1e-12));
}

TEST_CASE("a row that decides alone counts with a tenth of its information left",
          "[compare][gauss_newton]") {
  FitStep step;
  step.add(0.3, 2.0, 0.0);
  CHECK(relative_error(step, 1) == Approx(10.0 * (0.3 / 0.1) / 2.0).epsilon(1e-12));
}

TEST_CASE("what is left makes an error too: seven times as much of columns in less than 16 rows",
          "[compare][gauss_newton]") {
  // Rows of information 2 that are left with 3 each: sqrt(3 n / (n width - 1) / (2 n)).
  const auto error = [](int rows, std::int64_t width) {
    FitStep step;
    for (int i = 0; i < rows; ++i) {
      step.add(0.0, 2.0, 3.0);
    }
    return relative_error(step, width);
  };
  CHECK(error(4, 1) == Approx(std::sqrt(12.0 / 3.0 / 8.0)).epsilon(1e-12));
  CHECK(error(4, 2) == Approx(7.0 * std::sqrt(12.0 / 7.0 / 8.0)).epsilon(1e-12));
  CHECK(error(15, 3) == Approx(7.0 * std::sqrt(45.0 / 44.0 / 30.0)).epsilon(1e-12));
  CHECK(error(16, 3) == Approx(std::sqrt(48.0 / 47.0 / 32.0)).epsilon(1e-12));
  // One number and two leave a degree of freedom each.
  CHECK(error(1, 1) == Approx(std::sqrt(3.0 / 2.0)).epsilon(1e-12));
  CHECK(error(2, 1) == Approx(std::sqrt(6.0 / 1.0 / 4.0)).epsilon(1e-12));
}
