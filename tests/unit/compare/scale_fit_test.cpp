#include "support/catch.hpp"
#include "support/kernel.hpp"

#include <mla_scale/compare/scale_fit.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

struct Fits {
  std::optional<ScaleFit> lse;
  std::optional<ScaleFit> out;
};

/// Fits of a kernel that used `ratio` times the scale.
Fits fits(kernel::Run& run, double ratio, double scale = kernel::k_scale) {
  kernel::attend(run, {scale * ratio});
  const auto capture = run.capture();
  const auto problem =
      reference::make_problem(capture, reference::Form::expanded, scale, run.shape.rope);
  REQUIRE(problem.has_value());
  const auto samples = sample_logits(*problem, sample_rows(*problem, 4096));
  return {fit_scale_from_lse(*problem, capture, samples),
          fit_scale_from_out(*problem, capture, samples)};
}

double relative_error(const ScaleFit& fit) {
  return fit.standard_error / fit.softmax_scale;
}

} // namespace

TEST_CASE("the scale that a bf16 kernel used is found from out and from lse", "[compare]") {
  kernel::Run run = kernel::inputs({96, 96, 2}, 0.55); // logits with a standard deviation of 1
  for (const double ratio : {1.0, 0.30811, 0.53366, 1.87385, 3.0, 1.001}) {
    const Fits fit = fits(run, ratio);
    REQUIRE(fit.lse.has_value());
    REQUIRE(fit.out.has_value());
    CHECK(fit.lse->converged);
    CHECK(fit.out->converged);
    CHECK(fit.lse->ratio == Approx(ratio).epsilon(1e-6));
    CHECK(fit.out->ratio == Approx(ratio).epsilon(3e-4));
    CHECK(std::abs(fit.out->ratio / ratio - 1) < 5 * relative_error(*fit.out));
    CHECK(relative_error(*fit.out) < 2e-4);
    CHECK(fit.lse->residual < 1e-5);
    CHECK(fit.out->residual < 6e-3);
  }
}

TEST_CASE("standard errors are those of a study, 4e-5 for 64 rows of 512 and 1.8e-5 for 4 heads "
          "of 128 rows",
          "[compare]") {
  // Expected: rms error of bf16 fits at logit deviation 1, within a factor of two.
  kernel::Run run = kernel::inputs({128, 128, 4}, 0.55);
  const Fits fit = fits(run, 1.0);
  CHECK(relative_error(*fit.out) > 0.9e-5);
  CHECK(relative_error(*fit.out) < 3.6e-5);
}

TEST_CASE("rows that see one key tell nothing from out and everything from lse", "[compare]") {
  kernel::Run run = kernel::inputs({1, 1, 3});
  const Fits fit = fits(run, 0.5);
  CHECK((!fit.out.has_value() || !(relative_error(*fit.out) < 0.1)));
  REQUIRE(fit.lse.has_value());
  CHECK(fit.lse->ratio == Approx(0.5).epsilon(1e-6));
}

TEST_CASE("equal values tell nothing of the scale, and no small error is claimed", "[compare]") {
  kernel::Run run = kernel::inputs({32, 32, 2});
  for (std::size_t i = 0; i < run.v.size(); ++i) {
    run.v[i] = run.v[i % 128];
  }
  kernel::attend(run, {kernel::k_scale * 0.5});
  run.lse.clear();
  const auto capture = run.capture();
  const auto problem =
      reference::make_problem(capture, reference::Form::expanded, kernel::k_scale, 64);
  const auto samples = sample_logits(*problem, sample_rows(*problem, 4096));
  const auto fit = fit_scale_from_out(*problem, capture, samples);
  CHECK((!fit || fit->information < 1e-6));
  CHECK(!fit_scale_from_lse(*problem, capture, samples));
}

TEST_CASE("a head that used another scale than the rest has its own fit", "[compare]") {
  kernel::Run run = kernel::inputs({96, 96, 3}, 0.55);
  kernel::attend(run, {kernel::k_scale * 0.5});
  const kernel::Run wrong = run;
  kernel::attend(run, {kernel::k_scale});
  constexpr std::int64_t k_wrong_head = 1;
  for (std::int64_t row = 0; row < run.shape.queries; ++row) {
    const auto at = static_cast<std::size_t>(row * run.shape.heads + k_wrong_head);
    run.lse[at] = wrong.lse[at];
    for (std::int64_t column = 0; column < run.shape.v; ++column) {
      const auto element =
          at * static_cast<std::size_t>(run.shape.v) + static_cast<std::size_t>(column);
      run.out[element] = wrong.out[element];
    }
  }
  const auto capture = run.capture();
  const auto problem =
      reference::make_problem(capture, reference::Form::expanded, kernel::k_scale, 64);
  const auto samples = sample_logits(*problem, sample_rows(*problem, 4096));
  for (const auto& fit : {fit_scale_from_lse(*problem, capture, samples),
                          fit_scale_from_out(*problem, capture, samples)}) {
    REQUIRE(fit.has_value());
    REQUIRE(fit->by_head.size() == 3);
    for (const HeadScale& head : fit->by_head) {
      CAPTURE(fit->from, head.head);
      const double used = head.head == k_wrong_head ? 0.5 * kernel::k_scale : kernel::k_scale;
      CHECK(head.converged);
      CHECK(std::abs(head.softmax_scale - used) < 6 * head.standard_error);
      CHECK(head.standard_error < 1e-3 * used);
    }
  }
}

TEST_CASE("standard errors cover the error of a healthy kernel, however few its rows",
          "[compare]") {
  // Of normal z-scores 0.27 % are beyond 3.
  double squares = 0.0;
  int count = 0;
  int beyond = 0;
  double largest = 0.0;
  for (std::uint64_t seed = 0; seed < 90; ++seed) {
    const auto rows = static_cast<std::int64_t>(4 + 7 * (seed % 6));
    const std::int64_t prefix = seed % 2 == 0 ? 0 : 24;
    kernel::Run run =
        kernel::inputs({rows, rows + prefix, static_cast<std::int64_t>(1 + seed % 3), 32, 16, 32},
                       seed % 4 == 0 ? 0.5 : 1.5, 100 + 3 * seed);
    const Fits fit = fits(run, 1.0);
    REQUIRE(fit.out.has_value());
    const double z = (fit.out->ratio - 1.0) / relative_error(*fit.out);
    squares += z * z;
    ++count;
    beyond += std::abs(z) > 3.0 ? 1 : 0;
    largest = std::max(largest, std::abs(z));
  }
  CHECK(std::sqrt(squares / count) < 1.15);
  CHECK(beyond <= 2);
  CHECK(largest < 4.0);
}

TEST_CASE("the error of a scale from a few equal rows is that of their mean, clustered",
          "[compare]") {
  // Twelve rows of one key with logit 1 and captured lse of 1 ± 0.05: each has the derivative 1 and
  // pulls by 0.05, 12/11 of it without its own part. The variance is few_rows_factor(11)² · 12 ·
  // (0.05 · 12/11)² / 12², and elements of the row that share its error are not: there is but one.
  std::vector<RowSample> samples(12);
  std::vector<double> lse;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].row = static_cast<std::int64_t>(i);
    samples[i].nope = {1.0};
    samples[i].rope = {0.0};
    lse.push_back(i % 2 == 0 ? 1.05 : 0.95);
  }
  tensors::Capture capture;
  capture.lse = tensors::view(lse, 12, 1, 1);
  reference::Problem problem;
  problem.softmax_scale = 1.0;
  problem.threads = 1;
  const auto fit = fit_scale_from_lse(problem, capture, samples);
  REQUIRE(fit.has_value());
  CHECK(fit->ratio == Approx(1.0).epsilon(1e-9));
  CHECK(fit->residual == Approx(0.05).epsilon(1e-9));
  CHECK(fit->information == Approx(12.0).epsilon(1e-9));
  const double expected = (1.0 + 2.5 / 11 + 5.75 / 121) * std::sqrt(12.0) * (0.05 * 12 / 11) / 12.0;
  CHECK(fit->standard_error == Approx(expected).epsilon(1e-6));
  REQUIRE(fit->by_head.size() == 1);
  CHECK(fit->by_head[0].standard_error == Approx(expected).epsilon(1e-6));
}

TEST_CASE("the error of a scale from one row is seven times that of independent columns",
          "[compare]") {
  // One row has no pull left where it fits. Its columns share the noise of its weights: measured on
  // healthy kernels, that makes seven times the error of as many independent numbers.
  kernel::Run run = kernel::inputs({1, 40, 1});
  const Fits fit = fits(run, 1.0);
  REQUIRE(fit.out.has_value());
  CHECK(fit.out->rows == 1);
  const double independent =
      fit.out->residual
      / std::sqrt((static_cast<double>(run.shape.v) - 1.0) * fit.out->information);
  CHECK(relative_error(*fit.out) == Approx(7.0 * independent).epsilon(1e-3));
}

TEST_CASE("a fit that would lead away from where it starts starts elsewhere", "[compare]") {
  // Keys with logits 0, -2 and -12 at scale 1 and values 0, -1 and 40: from scale 1 down to 1/2 out
  // falls, then it rises to what the kernel had at 1/4; from 1 upwards it rises to 0.
  constexpr double k_used = 0.25;
  RowSample sample;
  sample.nope = {0.0, -2.0, -12.0};
  sample.rope = {0.0, 0.0, 0.0};
  const double second = std::exp(-2.0 * k_used);
  const double third = std::exp(-12.0 * k_used);
  tensors::Capture capture;
  capture.out = tensors::view({(40.0 * third - second) / (1.0 + second + third)}, 1, 1, 1);
  reference::Problem problem;
  problem.q = tensors::view({1.0}, 1, 1, 1);
  problem.k = tensors::view(sample.nope, 3, 1, 1);
  problem.v = tensors::view({0.0, -1.0, 40.0}, 3, 1, 1);
  problem.sequences = {{0, 1, 0, 3}};
  problem.softmax_scale = 1.0;
  problem.threads = 1;
  const auto fit = fit_scale_from_out(problem, capture, {sample});
  REQUIRE(fit.has_value());
  CHECK(fit->converged);
  CHECK(fit->ratio == Approx(k_used).epsilon(1e-9));
}
