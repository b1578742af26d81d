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

TEST_CASE("the scale that a bf16 kernel used is found from out and from lse",
          "[compare][scale_fit]") {
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
          "[compare][scale_fit]") {
  // Expected: rms error of bf16 fits at logit deviation 1, within a factor of two.
  kernel::Run run = kernel::inputs({128, 128, 4}, 0.55);
  const Fits fit = fits(run, 1.0);
  CHECK(relative_error(*fit.out) > 0.9e-5);
  CHECK(relative_error(*fit.out) < 3.6e-5);
}

TEST_CASE("rows that see one key tell nothing from out and everything from lse",
          "[compare][scale_fit]") {
  kernel::Run run = kernel::inputs({1, 1, 3});
  const Fits fit = fits(run, 0.5);
  CHECK((!fit.out.has_value() || !(relative_error(*fit.out) < 0.1)));
  REQUIRE(fit.lse.has_value());
  CHECK(fit.lse->ratio == Approx(0.5).epsilon(1e-6));
}

TEST_CASE("equal values tell nothing of the scale, and no small error is claimed",
          "[compare][scale_fit]") {
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

TEST_CASE("a head that used another scale than the rest has its own fit", "[compare][scale_fit]") {
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
          "[compare][scale_fit]") {
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
          "[compare][scale_fit]") {
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
          "[compare][scale_fit]") {
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

TEST_CASE("a fit that would lead away from where it starts starts elsewhere",
          "[compare][scale_fit]") {
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

namespace {

/// Rows of two keys with logits x and 0 at scale 1 and values (1, 0) and (0, 1): at scale s out is
/// (p, 1 - p) with p = 1 / (1 + exp(-s x)), and its derivative by ln s is s x p (1 - p) · (1, -1).
struct TwoKeys {
  struct Row {
    std::int64_t head = 0;
    std::int64_t row = 0;
    double x = 1.0;
    double used = 1.0; ///< the scale in what was captured
  };

  explicit TwoKeys(const std::vector<Row>& rows) {
    constexpr std::int64_t k_heads = 6;
    constexpr std::int64_t k_rows = 4;
    std::vector<double> out(k_rows * k_heads * 2, 99.0);
    for (const Row& row : rows) {
      RowSample sample;
      sample.head = row.head;
      sample.row = row.row;
      sample.nope = {row.x - 0.25, 0.5};
      sample.rope = {0.25, -0.5};
      samples.push_back(sample);
      const auto at = static_cast<std::size_t>(2 * (row.row * k_heads + row.head));
      out[at] = p(row.x, row.used);
      out[at + 1] = 1.0 - out[at];
    }
    capture.out = tensors::view(out, k_rows, k_heads, 2);
    problem.q = tensors::view(std::vector<double>(k_rows * k_heads), k_rows, k_heads, 1);
    problem.k = tensors::view({0.0, 0.0}, 2, 1, 1);
    problem.v = tensors::view({1.0, 0.0, 0.0, 1.0}, 2, 1, 2);
    problem.sequences = {{0, k_rows, 0, 2}};
    problem.softmax_scale = 1.0;
    problem.threads = 1;
  }

  [[nodiscard]] std::optional<ScaleFit> fit() const {
    return fit_scale_from_out(problem, capture, samples);
  }

  static double p(double x, double scale) { return 1.0 / (1.0 + std::exp(-scale * x)); }
  /// (d out / d ln s)² / |out|², out at the scale 1 that was expected.
  static double information(double x, double scale) {
    const double slope = scale * x * p(x, scale) * (1.0 - p(x, scale));
    return 2.0 * slope * slope / (std::pow(p(x, 1.0), 2) + std::pow(1.0 - p(x, 1.0), 2));
  }

  tensors::Capture capture;
  reference::Problem problem;
  std::vector<RowSample> samples;
};

/// Rows of one key each, of these heads.
std::vector<RowSample> rows_of_one_key(const std::vector<std::int64_t>& heads, double logit) {
  std::vector<RowSample> samples;
  for (const std::int64_t head : heads) {
    RowSample sample;
    sample.head = head;
    sample.nope = {logit};
    sample.rope = {0.0};
    samples.push_back(sample);
  }
  return samples;
}

reference::Problem of_scale(double scale) {
  reference::Problem problem;
  problem.softmax_scale = scale;
  problem.threads = 1;
  return problem;
}

} // namespace

TEST_CASE("an lse of powers of two is read as such", "[compare][scale_fit]") {
  // Logits ln 3 and 0: lse is ln 4, two powers of two; its derivative by ln scale is 3/4 ln 3.
  RowSample sample;
  sample.nope = {std::log(3.0) - 1.0, 2.0};
  sample.rope = {1.0, -2.0};
  tensors::Capture capture;
  capture.lse = tensors::view({2.0}, 1, 1, 1);
  capture.lse_base = tensor::LseBase::two;
  const auto fit = fit_scale_from_lse(of_scale(1.0), capture, {sample});
  REQUIRE(fit.has_value());
  CHECK(fit->from == "lse");
  CHECK(fit->ratio == Approx(1.0).epsilon(1e-12));
  CHECK(fit->information == Approx(std::pow(0.75 * std::log(3.0), 2)).epsilon(1e-12));
  CHECK(fit->residual < 1e-14);
  CHECK(fit->rows == 1);
  // No fit is better than float32 makes it.
  CHECK(fit->standard_error == Approx(3e-7).epsilon(1e-6));
}

TEST_CASE("logits of thousands are no trouble", "[compare][scale_fit]") {
  RowSample sample;
  sample.nope = {4000.0, 0.0};
  sample.rope = {0.0, 0.0};
  tensors::Capture capture;
  capture.lse = tensors::view({2000.0}, 1, 1, 1);
  const auto fit = fit_scale_from_lse(of_scale(1.0), capture, {sample});
  REQUIRE(fit.has_value());
  CHECK(fit->ratio == Approx(0.5).epsilon(1e-12));
}

TEST_CASE("an lse that no scale changes shows how uncertain the others are",
          "[compare][scale_fit]") {
  // Logit 1 at scale 2 has the lse 1 that was captured, logit 0 is off by 0.3. Two numbers, one of
  // which the fit takes; all of the information is of the first: 0.3 is the relative error.
  auto samples = rows_of_one_key({0, 0}, 0.5);
  samples[1].row = 1;
  samples[1].nope = {0.0};
  tensors::Capture capture;
  capture.lse = tensors::view({1.0, 0.3}, 2, 1, 1);
  const auto fit = fit_scale_from_lse(of_scale(2.0), capture, samples);
  REQUIRE(fit.has_value());
  CHECK(fit->softmax_scale == Approx(2.0).epsilon(1e-12));
  CHECK(fit->ratio == Approx(1.0).epsilon(1e-12));
  CHECK(fit->residual == Approx(std::sqrt(0.3 * 0.3 / 2.0)).epsilon(1e-12));
  CHECK(fit->standard_error == Approx(2.0 * 0.3).epsilon(1e-9));
  REQUIRE(fit->by_head.size() == 1);
  CHECK(fit->by_head[0].standard_error == Approx(2.0 * 0.3).epsilon(1e-9));
}

TEST_CASE("heads that tell a scale from lse have their own, rows that are no numbers are left out",
          "[compare][scale_fit]") {
  // Each row's lse is its logit: 1 at the expected scale. That of head 4 is 0 at any.
  auto samples = rows_of_one_key({3, 3, 4, 5}, 1.0);
  samples[1].row = 1;
  samples[2].nope = {0.0};
  tensors::Capture capture;
  capture.lse = tensors::view({0, 0, 0, 0.5, 0, 2.0, 0, 0, 0, std::nan(""), 0, 0}, 2, 6, 1);
  const auto fit = fit_scale_from_lse(of_scale(1.0), capture, samples);
  REQUIRE(fit.has_value());
  CHECK(fit->rows == 3);
  REQUIRE(fit->by_head.size() == 2);
  CHECK(fit->by_head[0].head == 3);
  CHECK(fit->by_head[0].softmax_scale == Approx(0.5).epsilon(1e-9));
  CHECK(fit->by_head[1].head == 5);
  CHECK(fit->by_head[1].softmax_scale == Approx(2.0).epsilon(1e-9));
}

TEST_CASE("a scale of 0 tells nothing", "[compare][scale_fit]") {
  TwoKeys rows({{0, 0, 1.0, 1.0}});
  rows.problem.softmax_scale = 0.0;
  rows.capture.lse = tensors::view(std::vector<double>(24, 1.0), 4, 6, 1);
  CHECK(!rows.fit());
  CHECK(!fit_scale_from_lse(rows.problem, rows.capture, rows.samples));
}

TEST_CASE("what a scale cannot explain of one row is left, and makes its error",
          "[compare][scale_fit]") {
  // Probabilities 3/4 and 1/4: |out|² is 10/16. An error of 0.1 in both columns is at right angles
  // to (1, -1): 0.02 / (10/16) is left, of two columns one is not fitted.
  const double x = std::log(3.0);
  TwoKeys rows({{2, 1, x, 1.0}});
  std::vector<double> out(4 * 6 * 2);
  out[2 * (6 + 2)] = 0.85;
  out[2 * (6 + 2) + 1] = 0.35;
  rows.capture.out = tensors::view(out, 4, 6, 2);
  const auto fit = rows.fit();
  REQUIRE(fit.has_value());
  const double information = 9.0 / 80.0 * x * x;
  CHECK(fit->from == "out");
  CHECK(fit->ratio == Approx(1.0).epsilon(1e-7));
  CHECK(fit->information == Approx(information).epsilon(1e-6));
  CHECK(fit->residual == Approx(std::sqrt(0.032)).epsilon(1e-9));
  CHECK(fit->standard_error == Approx(7.0 * std::sqrt(0.032 / information)).epsilon(1e-6));
  REQUIRE(fit->by_head.size() == 1);
  CHECK(fit->by_head[0].head == 2);
  CHECK(fit->by_head[0].standard_error == Approx(fit->standard_error).epsilon(1e-12));
}

TEST_CASE("rows whose values vanish, or that were captured as no numbers, are left out",
          "[compare][scale_fit]") {
  // The first row as above; then rows of one key with the values (1, 0), (0, 0) and (1, 1).
  TwoKeys rows({{0, 0, std::log(3.0), 1.0}, {0, 1}, {0, 2}, {0, 3}});
  for (std::size_t i = 1; i < 4; ++i) {
    rows.samples[i].nope = {5.0};
    rows.samples[i].rope = {0.0};
    rows.samples[i].first_key = static_cast<std::int64_t>(i) + 1;
  }
  rows.problem.v = tensors::view({1, 0, 0, 1, 1, 0, 0, 0, 1, 1}, 5, 1, 2);
  rows.problem.sequences = {{0, 1, 0, 2}, {1, 2, 2, 3}, {2, 3, 3, 4}, {3, 4, 4, 5}};
  rows.capture.out = tensors::view({0.75, 0.25, 1.1, 0.0, 7.0, 7.0, std::nan(""), 1.0}, 4, 1, 2);
  const auto fit = rows.fit();
  REQUIRE(fit.has_value());
  CHECK(fit->rows == 2);
  CHECK(fit->residual == Approx(std::sqrt(0.1 * 0.1 / 2.0)).epsilon(1e-9));
  CHECK(fit->information == Approx(9.0 / 80.0 * std::pow(std::log(3.0), 2)).epsilon(1e-9));
}

TEST_CASE("heads that differ are joined by what they tell, and make the scale uncertain",
          "[compare][scale_fit]") {
  const TwoKeys rows({{1, 0, 1.0, 0.9}, {4, 2, 1.5, 1.2}});
  const auto fit = rows.fit();
  REQUIRE(fit.has_value());
  const double first = TwoKeys::information(1.0, 0.9);
  const double second = TwoKeys::information(1.5, 1.2);
  const double joined = (first * std::log(0.9) + second * std::log(1.2)) / (first + second);
  CHECK(fit->converged);
  CHECK(fit->information == Approx(first + second).epsilon(1e-9));
  CHECK(fit->ratio == Approx(std::exp(joined)).epsilon(1e-9));
  // The first head pulls by its information times its distance, the second as much against it: of
  // two heads twice the sum of both squares. Student's t over the normal distribution, for so many
  // degrees of freedom as there are rows of equal weight besides one.
  const double pull = first * (std::log(0.9) - joined);
  const double freedom = std::pow(first + second, 2) / (first * first + second * second) - 1.0;
  const double factor = 1.0 + 2.5 / freedom + 5.75 / (freedom * freedom);
  REQUIRE(factor < 10.0);
  CHECK(fit->standard_error / fit->softmax_scale
        == Approx(factor * std::sqrt(2.0 * 2.0 * pull * pull) / (first + second)).epsilon(1e-6));
  REQUIRE(fit->by_head.size() == 2);
  CHECK(fit->by_head[0].head == 1);
  CHECK(fit->by_head[0].softmax_scale == Approx(0.9).epsilon(1e-9));
  CHECK(fit->by_head[0].standard_error == Approx(0.9 * 3e-7).epsilon(1e-3));
  CHECK(fit->by_head[1].head == 4);
  CHECK(fit->by_head[1].softmax_scale == Approx(1.2).epsilon(1e-9));
}

TEST_CASE("one head differs from no other", "[compare][scale_fit]") {
  for (int percent = 80; percent < 120; ++percent) {
    const TwoKeys rows({{0, 0, 1.0, percent / 100.0}});
    const auto fit = rows.fit();
    REQUIRE(fit.has_value());
    CHECK(fit->standard_error == Approx(percent / 100.0 * 3e-7).epsilon(1e-3));
  }
}

TEST_CASE("a head that no scale explains does not count for the others", "[compare][scale_fit]") {
  // More than the first value of 1 is out of reach: its scale grows without end.
  TwoKeys rows({{1, 0, 1.0, 0.9}, {2, 0, 1.0, 1.0}});
  std::vector<double> out(4 * 6 * 2);
  out[2] = TwoKeys::p(1.0, 0.9);
  out[3] = 1.0 - out[2];
  out[4] = 2.0;
  out[5] = -1.0;
  rows.capture.out = tensors::view(out, 4, 6, 2);
  const auto fit = rows.fit();
  REQUIRE(fit.has_value());
  CHECK(fit->converged);
  CHECK(fit->rows == 1);
  CHECK(fit->ratio == Approx(0.9).epsilon(1e-9));
  REQUIRE(fit->by_head.size() == 2);
  CHECK(fit->by_head[0].converged);
  CHECK(!fit->by_head[1].converged);
  rows.samples.erase(rows.samples.begin());
  CHECK(!rows.fit());
}
