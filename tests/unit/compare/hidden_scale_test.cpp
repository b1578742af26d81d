// Which fitted scales are followed up, from judgements that are written down.
#include "support/catch.hpp"
#include "support/kernel.hpp"

#include <mla_scale/compare/hidden_scale.hpp>

#include <cmath>
#include <functional>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

/// A match at a level that may hide a scale, whose fit says 2 ± 0.125.
Judgement match_at_two(Level level = Level::rounded_query) {
  Judgement judgement;
  judgement.verdict = Verdict::match;
  judgement.level = level;
  ScaleFit fit;
  fit.softmax_scale = 2.0;
  fit.standard_error = 0.125;
  fit.converged = true;
  fit.rows = 8;
  judgement.fit = fit;
  return judgement;
}

/// A mismatch at a level that rounds logits to bf16, whose fit says what DeepSeek-V3's scale is
/// there.
Judgement mismatch_of_rounded_scale() {
  Judgement judgement = match_at_two(Level::eager);
  judgement.verdict = Verdict::mismatch;
  judgement.dtypes = {tensor::Dtype::bf16, tensor::Dtype::bf16};
  judgement.fit->softmax_scale = kernel::to_bf16(kernel::k_scale);
  judgement.fit->standard_error = 1e-6;
  return judgement;
}

} // namespace

TEST_CASE("a fitted scale may be hidden in a match at a level with noise or a lean",
          "[compare][hidden_scale]") {
  for (const Level level : {Level::rounded_query, Level::rounded_sum, Level::rounded_logits,
                            Level::eager, Level::flash_cut, Level::tf32}) {
    CHECK(hidden_scale(match_at_two(level), 1.0) == 2.0);
  }
  for (const Level level : {Level::exact, Level::flash, Level::fp8}) {
    CHECK_FALSE(hidden_scale(match_at_two(level), 1.0).has_value());
  }
  Judgement judgement = match_at_two();
  judgement.verdict = Verdict::inconclusive;
  CHECK_FALSE(hidden_scale(judgement, 1.0).has_value());
  judgement.verdict = Verdict::mismatch;
  CHECK_FALSE(hidden_scale(judgement, 1.0).has_value());
}

TEST_CASE("no scale is hidden without a fit that converged on eight rows",
          "[compare][hidden_scale]") {
  Judgement judgement = match_at_two();
  judgement.fit->rows = 7;
  CHECK_FALSE(hidden_scale(judgement, 1.0).has_value());
  judgement = match_at_two();
  judgement.fit->converged = false;
  CHECK_FALSE(hidden_scale(judgement, 1.0).has_value());
  judgement.fit.reset();
  CHECK_FALSE(hidden_scale(judgement, 1.0).has_value());
}

TEST_CASE("a scale within six standard errors and what float32 does is the fitted one",
          "[compare][hidden_scale]") {
  Judgement judgement = match_at_two();
  const auto hidden = [&](double fitted, double error, double scale) {
    judgement.fit->softmax_scale = fitted;
    judgement.fit->standard_error = error;
    return hidden_scale(judgement, scale).has_value();
  };
  for (const double sign : {-1.0, 1.0}) {
    CHECK_FALSE(hidden(sign * 0.75, 0.125, 0.0)); // six errors of 1/8
    CHECK(hidden(sign * std::nextafter(0.75, 1.0), 0.125, 0.0));
    CHECK_FALSE(hidden(sign * (1.0 + 1.99e-5), 0.0, sign));
    CHECK_FALSE(hidden(sign * (1.0 - 1.99e-5), 0.0, sign));
    CHECK(hidden(sign * (1.0 + 2.01e-5), 0.0, sign));
    CHECK(hidden(sign * (1.0 - 2.01e-5), 0.0, sign));
    CHECK_FALSE(hidden(sign * (1.0 + 2.59e-5), 1e-6, sign)); // both: 2e-5 and 6e-6
    CHECK(hidden(sign * (1.0 + 2.61e-5), 1e-6, sign));
  }
}

TEST_CASE("a scale was hidden when its capture has less noise, or no lean, at the fitted one",
          "[compare][hidden_scale]") {
  for (const Level taken : {Level::rounded_query, Level::rounded_sum, Level::eager}) {
    for (const Level fitted : {Level::exact, Level::flash, Level::flash_cut, Level::fp8}) {
      CHECK(shows_hidden_scale(match_at_two(fitted), taken));
    }
    for (const Level fitted : {Level::rounded_query, Level::rounded_sum, Level::eager}) {
      CHECK_FALSE(shows_hidden_scale(match_at_two(fitted), taken));
    }
  }
  for (const Level fitted : {Level::exact, Level::flash, Level::rounded_query}) {
    CHECK(shows_hidden_scale(match_at_two(fitted), Level::flash_cut));
  }
  for (const Level fitted : {Level::flash_cut, Level::rounded_logits, Level::eager}) {
    CHECK_FALSE(shows_hidden_scale(match_at_two(fitted), Level::flash_cut));
  }
}

TEST_CASE("a fitted scale at which the capture does not match shows nothing",
          "[compare][hidden_scale]") {
  Judgement fitted = match_at_two(Level::flash);
  for (const Verdict verdict : {Verdict::mismatch, Verdict::inconclusive}) {
    fitted.verdict = verdict;
    CHECK_FALSE(shows_hidden_scale(fitted, Level::eager));
    CHECK_FALSE(shows_hidden_scale(fitted, Level::flash_cut));
  }
}

TEST_CASE("a mismatch of a kernel that rounds logits may come of a scale that was rounded as they "
          "are",
          "[compare][hidden_scale]") {
  Judgement judgement = mismatch_of_rounded_scale();
  const double rounded = judgement.fit->softmax_scale;
  CHECK(rounded_scale(judgement, kernel::k_scale) == rounded);
  judgement.level = Level::rounded_logits;
  CHECK(rounded_scale(judgement, kernel::k_scale) == rounded);
  CHECK_FALSE(rounded_scale(judgement, rounded).has_value()); // a number of bf16 already
  const auto changed = [](const std::function<void(Judgement&)>& change) {
    Judgement other = mismatch_of_rounded_scale();
    change(other);
    return rounded_scale(other, kernel::k_scale);
  };
  CHECK_FALSE(changed([](Judgement& it) { it.level = Level::rounded_query; }).has_value());
  CHECK_FALSE(changed([](Judgement& it) { it.verdict = Verdict::match; }).has_value());
  CHECK_FALSE(changed([](Judgement& it) { it.fit.reset(); }).has_value());
  CHECK_FALSE(changed([](Judgement& it) { it.fit->converged = false; }).has_value());
  CHECK_FALSE(changed([](Judgement& it) { it.fit->softmax_scale = kernel::k_scale; }).has_value());
  CHECK_FALSE(changed([](Judgement& it) { it.dtypes.input = tensor::Dtype::f16; }).has_value());
}

TEST_CASE("a fit that is uncertain by more than a tenth of the scale says nothing about rounding",
          "[compare][hidden_scale]") {
  Judgement judgement = mismatch_of_rounded_scale();
  judgement.fit->standard_error = 0.099 * kernel::k_scale;
  CHECK(rounded_scale(judgement, kernel::k_scale).has_value());
  judgement.fit->standard_error = 0.1 * kernel::k_scale;
  CHECK(rounded_scale(judgement, kernel::k_scale).has_value());
  judgement.fit->standard_error = 0.101 * kernel::k_scale;
  CHECK_FALSE(rounded_scale(judgement, kernel::k_scale).has_value());
}
