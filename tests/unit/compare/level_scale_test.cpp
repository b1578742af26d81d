// When a fitted scale is reported: noise that it may be, errors that it explains.
#include "rows_of_one_key.hpp"
#include "support/catch.hpp"

#include <mla_scale/core/number.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;
using namespace one_key;

namespace {

constexpr double k_fit_floor = 0.01;
constexpr double k_out_information = 50.0;  // two columns: noise 0.01 / sqrt(2 · 50) = 0.001
constexpr double k_lse_information = 100.0; // noise 0.01 / sqrt(100) = 0.001

ScaleFit fit_at(double ratio, double information, std::int64_t rows = 16) {
  ScaleFit fit = fit_of_ratio(ratio, information);
  fit.rows = rows;
  return fit;
}

/// True when a scale that is off by this much in either direction is no fault of otherwise right
/// rows, and one that is off by a little more is. `change` is done to the fit and the rows.
template <typename Change>
bool allows(bool is_lse, double off, Level level, const Change& change) {
  const auto fault = [&](double ratio) {
    RowsOfOneKey rows = even_rows(1, 20, k_fit_floor);
    rows.without_errors(is_lse ? rows.errors.lse : rows.errors.out);
    if (level == Level::flash) {
      rows.dtypes = {Dtype::bf16, Dtype::bf16};
    }
    ScaleFit fit = fit_at(ratio, is_lse ? k_lse_information : k_out_information);
    change(fit, rows);
    (is_lse ? rows.lse_fit : rows.out_fit) = fit;
    return !rows.tested(level).passed();
  };
  const double less = off - 2e-6;
  const double more = off + 2e-6;
  return !fault(1.0 + less) && !fault(1.0 - less) && fault(1.0 + more) && fault(1.0 - more);
}

/// Rows of which all have an error, and a scale that may explain it.
struct Explained {
  bool is_lse = false;
  Level level = Level::exact;
  double error = 0x1p-7; // less than the floor
  double residual = 0.0;
  double off = 0.001; // within six times the noise
  double standard_error = 1e-9;
  std::int64_t rows = 16;
  bool bias = false;

  [[nodiscard]] Reasons reasons() const {
    RowsOfOneKey of = even_rows(1, 16, k_fit_floor);
    TensorErrors& errors = of.without_errors(is_lse ? of.errors.lse : of.errors.out);
    errors.error.assign(errors.error.size(), error);
    ScaleFit fit = fit_at(1.0 + off, is_lse ? k_lse_information : k_out_information, rows);
    fit.residual = residual;
    fit.softmax_scale = 1.0;
    fit.standard_error = standard_error;
    (is_lse ? of.lse_fit : of.out_fit) = fit;
    if (level == Level::flash) {
      of.dtypes = {Dtype::bf16, Dtype::bf16};
    }
    if (bias) {
      of.spreads = {{0.0, 1.0, true, 1.0}};
    }
    const LevelResult result = of.tested(level);
    return is_lse ? result.lse.reasons : result.out.reasons;
  }
  [[nodiscard]] bool reported() const {
    return any_starts_with(reasons(), "the softmax scale fitted");
  }
};

} // namespace

TEST_CASE("a scale is allowed six times the noise of a healthy kernel", "[compare][level_test]") {
  const auto as_it_is = [](ScaleFit&, RowsOfOneKey&) {};
  CHECK(allows(false, 0.006 + 2e-5, Level::exact, as_it_is));
  CHECK(allows(true, 0.006 + 1e-5, Level::exact, as_it_is));
}

TEST_CASE("a fit to fewer than 16 rows is allowed four times as much", "[compare][level_test]") {
  const auto few = [](ScaleFit& fit, RowsOfOneKey&) { fit.rows = 15; };
  CHECK(allows(false, 0.024 + 2e-5, Level::exact, few));
  CHECK(allows(true, 0.024 + 1e-5, Level::exact, few));
}

TEST_CASE("a fit is as uncertain as it says where that is more", "[compare][level_test]") {
  // 0.001 of the scale -1/2: relative 0.002.
  const auto unsure = [](ScaleFit& fit, RowsOfOneKey&) {
    fit.softmax_scale = -0.5;
    fit.standard_error = 0.001;
  };
  CHECK(allows(false, 0.012 + 2e-5, Level::exact, unsure));
}

TEST_CASE("a scale from out may be off by what rounding does to all rows alike",
          "[compare][level_test]") {
  // Half a step of bf16, 2^-8, over the logits' spread of 1.
  const auto alike = [](ScaleFit&, RowsOfOneKey& rows) { rows.spreads = {{0.0, 1.0, true, 1.0}}; };
  CHECK(allows(false, 0x1p-8 + 0.006 + 2e-5, Level::flash, alike));
  CHECK(allows(true, 0.006 + 1e-5, Level::flash, alike));
}

TEST_CASE("inputs that tell nothing about the scale allow any", "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(1, 20, k_fit_floor);
  rows.without_errors(rows.errors.out);
  rows.out_fit = fit_at(3.0, 0.0);
  CHECK(rows.tested().passed());
}

TEST_CASE("a fit that did not converge means nothing", "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(1, 20, k_fit_floor);
  rows.without_errors(rows.errors.out);
  rows.out_fit = fit_at(3.0, k_out_information);
  CHECK(!rows.tested().passed());
  rows.out_fit->converged = false;
  CHECK(rows.tested().passed());
}

TEST_CASE("a scale that leaves less than a tenth of the error explains it",
          "[compare][level_test]") {
  for (const bool is_lse : {false, true}) {
    CHECK(Explained{is_lse, Level::exact, 0x1p-7, 0.099 * 0x1p-7}.reported());
    CHECK_FALSE(Explained{is_lse, Level::exact, 0x1p-7, 0.1 * 0x1p-7}.reported());
    // Fifteen rows explain nothing.
    CHECK_FALSE(Explained{is_lse, Level::exact, 0x1p-7, 0.0, 0.001, 1e-9, 15}.reported());
    // Six of its own standard errors and 2e-5 are no scale.
    CHECK_FALSE(Explained{is_lse, Level::exact, 0x1p-7, 0.0, 0.000618, 1e-4}.reported());
    CHECK(Explained{is_lse, Level::exact, 0x1p-7, 0.0, 0.000622, 1e-4}.reported());
    CHECK_FALSE(Explained{is_lse, Level::exact, 0x1p-7, 0.0, -0.000618, 1e-4}.reported());
    CHECK(Explained{is_lse, Level::exact, 0x1p-7, 0.0, -0.000622, 1e-4}.reported());
  }
}

TEST_CASE("what rounding may do to all rows alike explains nothing", "[compare][level_test]") {
  CHECK_FALSE(
      Explained{false, Level::flash, 0x1p-7, 0.0, 0x1p-8 + 1.8e-5, 1e-9, 16, true}.reported());
  CHECK(Explained{false, Level::flash, 0x1p-7, 0.0, 0x1p-8 + 2.2e-5, 1e-9, 16, true}.reported());
}

TEST_CASE("operands that are cut shrink all logits, which no scale explains",
          "[compare][level_test]") {
  CHECK(Explained{true, Level::tf32}.reported());
  CHECK_FALSE(Explained{true, Level::tf32_cut}.reported());
  CHECK(Explained{false, Level::tf32_cut}.reported());
}

TEST_CASE("a scale is the first reason where it leaves what a healthy row has",
          "[compare][level_test]") {
  // Rows off by ten floors; 4 floors may be left.
  const auto reasons = [](double left) {
    return Explained{false, Level::exact, 0.1, left * k_fit_floor, 1.0}.reasons();
  };
  CHECK(reasons(3.99).size() == 4);
  CHECK(reasons(3.99).front().starts_with("the softmax scale fitted"));
  CHECK(reasons(4.01).size() == 3);
}

TEST_CASE("a scale that is off by exactly what is allowed is no fault", "[compare][level_test]") {
  // Cut probabilities of bf16 allow the scale half of 2^-8, and no floor adds to it.
  RowsOfOneKey rows = even_rows(1, 20, 0.0);
  rows.dtypes = {Dtype::bf16, Dtype::bf16};
  rows.without_errors(rows.errors.out);
  rows.out_fit = fit_at(1.0 + 0x1p-9, k_out_information);
  rows.out_fit->standard_error = 0.0;
  CHECK(rows.tested(Level::flash_cut).passed());
  rows.out_fit->ratio += 0x1p-52;
  CHECK(!rows.tested(Level::flash_cut).passed());
}

TEST_CASE("a scale that leaves exactly four floors explains nothing", "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(1, 16, 0x1p-7);
  rows.without_errors(rows.errors.out).error.assign(16, 0.5);
  rows.out_fit = fit_at(2.0, k_out_information);
  rows.out_fit->residual = 4.0 * 0x1p-7;
  CHECK(!any_starts_with(rows.tested().out.reasons, "the softmax scale"));
  rows.out_fit->residual = 3.99 * 0x1p-7;
  CHECK(any_starts_with(rows.tested().out.reasons, "the softmax scale"));
}

TEST_CASE("the reason says the scale, by how much and how surely it differs",
          "[compare][level_test]") {
  RowsOfOneKey rows = even_rows(1, 20, k_fit_floor);
  rows.without_errors(rows.errors.lse);
  rows.problem.softmax_scale = 0.125;
  ScaleFit fit = fit_at(1.08, k_lse_information);
  fit.from = "lse";
  fit.softmax_scale = 0.135;
  fit.standard_error = 0.001;
  rows.lse_fit = fit;
  CHECK(rows.tested().lse.reasons
        == Reasons{"the softmax scale fitted from lse is 0.135, +8 % from 0.125 (10 standard "
                   "errors)"});
}
