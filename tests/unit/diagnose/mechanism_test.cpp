#include "examined.hpp"
#include "kernel.hpp"

#include <cmath>
#include <limits>
#include <memory>
#include <support/catch.hpp>
#include <vector>

// Variances that a prediction states, against errors of attention in plain loops.

using namespace mla_scale;
using namespace simulator;

namespace {

struct Attended {
  std::vector<double> out;
  double lse = 0.0;
};

/// A row in float64, its logits rounded to bf16 before and after they are scaled, or not at all.
Attended attend_row(const Examined& examined, const diagnose::Row& row, bool round) {
  const auto rounded = [&](double x) { return round ? round_to(tensor::Dtype::bf16, x) : x; };
  std::vector<double> logits;
  double sum = 0.0;
  for (std::size_t key = 0; key < row.visible; ++key) {
    const double dot = examined.sample.logits->nope[row.offset + key]
                       + examined.sample.logits->rope[row.offset + key];
    logits.push_back(rounded(rounded(dot) * examined.context.reference.scale));
    sum += std::exp(logits.back());
  }
  const auto& values = examined.sample.values->values[row.slot];
  const std::size_t width = examined.sample.width;
  Attended attended{std::vector<double>(width, 0.0), std::log(sum)};
  for (std::size_t key = 0; key < row.visible; ++key) {
    for (std::size_t column = 0; column < width; ++column) {
      attended.out[column] += std::exp(logits[key]) / sum * values[key * width + column];
    }
  }
  return attended;
}

/// Two keys of one value each, with noise of a size that shows every term.
struct TwoKeys {
  TwoKeys() {
    row.keys = 2;
    row.visible = 2;
    row.factor = 2.0;
    sample.rows = {row};
    sample.width = 1;
    diagnose::LogitSet logits{{1.0, 3.0}, {0.5, -0.5}, {2.0, 5.0}};
    sample.logits = std::make_shared<const diagnose::LogitSet>(logits);
    diagnose::ValueSet values{{{1.0, 3.0}}, {{1.0, 9.0}}};
    sample.values = std::make_shared<const diagnose::ValueSet>(values);
    mechanism.scale = 0.5;
    mechanism.nope = 1.5;
    mechanism.rope = 2.0;
    mechanism.gain = 2.0;
    mechanism.temperature = [](const diagnose::Row&) { return 3.0; };
  }

  [[nodiscard]] diagnose::Prediction predicted() const {
    return diagnose::Predictor(sample, noise).predict(mechanism, row);
  }

  diagnose::Row row;
  diagnose::Sample sample;
  diagnose::Mechanism mechanism;
  diagnose::Noise noise{0.1, 0.2, 0.3, 0.05, 0.07, 0.11, 0.13};
};

// 0.5 · 2 · 3 times 1.5 · 1 + 2 · 0.5 and 1.5 · 3 - 2 · 0.5.
constexpr double k_low = 7.5;
constexpr double k_high = 10.5;

} // namespace

TEST_CASE("a row of two keys by hand: output, lse, and how far rounding may move them", "[parts]") {
  TwoKeys two;
  two.mechanism.extra_mass = [](const diagnose::Row&) { return 10.0; };
  const double keys = std::exp(k_low) + std::exp(k_high);
  const double low = std::exp(k_low) / (keys + std::exp(10.0)); // probabilities
  const double high = std::exp(k_high) / (keys + std::exp(10.0));
  const double out = 2.0 * (low + 3.0 * high);
  const auto prediction = two.predicted();
  REQUIRE(prediction.defined);
  CHECK(prediction.maximum == Approx(k_high));
  CHECK(prediction.out.front() == Approx(out));
  CHECK(prediction.lse == Approx(std::log(keys + std::exp(10.0))));

  // A quarter of the mean square of the logits for products rounded before the sum.
  const double mean = (std::exp(k_low) * k_low * k_low + std::exp(k_high) * k_high * k_high) / keys;
  const double of_low = low * low * (k_low * k_low + 0.25 * mean);
  const double of_high = high * high * (k_high * k_high + 0.25 * mean);
  const double by_logits = 4.0 * (of_low + 9.0 * of_high) + (of_low + of_high) * out * out;
  const double by_probabilities = 4.0 * (low * low + 9.0 * high * high);
  // k as stored: (3 · 1.5 · 0.07)² times 2 and 5.
  const double unit = std::pow(3.0 * 1.5 * 0.07, 2);
  const double stored = unit * (2.0 * low * low + 5.0 * high * high);
  const double by_stored =
      unit * 4.0 * (2.0 * low * low + 5.0 * 9.0 * high * high) + stored * out * out;
  const double inexact = 1.0 - std::pow(low * low + high * high, 2);
  CHECK(prediction.fine
        == Approx(0.01 * out * out + 0.04 * by_probabilities * inexact
                  + 0.0025 * by_logits * inexact + 0.0049 * by_probabilities
                  + by_stored * inexact));
  CHECK(prediction.coarse == Approx((0.0121 * by_logits + 0.0169 * by_probabilities) * inexact));
  CHECK(
      prediction.lse_fine
      == Approx(std::pow(0.3 * (1.0 + prediction.lse), 2) + 0.0025 * (of_low + of_high) + stored));
  CHECK(prediction.lse_coarse == Approx(0.0121 * (of_low + of_high + 0.5 * k_high * k_high)));
  CHECK(prediction.maximum_fine == Approx(5.0 * unit));

  two.mechanism.lse_counts_extra_mass = false;
  CHECK(two.predicted().lse == Approx(std::log(keys)));
  CHECK(two.predicted().out.front() == Approx(out));
}

TEST_CASE("a row of one key has no error by probabilities, whatever its logit", "[parts]") {
  TwoKeys one;
  one.row.visible = 1;
  one.noise.stored = 0.0;
  const auto prediction = one.predicted();
  CHECK(prediction.out.front() == Approx(2.0));
  CHECK(prediction.lse == Approx(k_low));
  CHECK(prediction.fine == Approx(0.01 * 4.0));
  CHECK(prediction.coarse == 0.0);
}

TEST_CASE("a bend sees all keys of the sequence, without one the mask ends the row", "[parts]") {
  TwoKeys two;
  two.row.visible = 1;
  CHECK(two.predicted().lse == Approx(k_low));
  two.mechanism.bend = [](const diagnose::Row&, std::span<double> logits) { logits[0] += 1.0; };
  CHECK(two.predicted().lse == Approx(std::log(std::exp(k_low + 1.0) + std::exp(k_high))));
  two.mechanism.bend = diagnose::hide_future;
  CHECK(two.predicted().lse == Approx(k_low));
  two.row.visible = 0;
  CHECK_FALSE(two.predicted().defined);
}

TEST_CASE("weights of more keys than a block average values as a plain loop does", "[parts]") {
  diagnose::Sample sample;
  sample.width = 2;
  constexpr std::size_t k_keys = 513; // two blocks of 256, and one key
  std::vector<double> weights(2 * k_keys);
  diagnose::ValueSet set;
  set.values.emplace_back(2 * k_keys);
  std::vector<double> expected(4, 0.0);
  for (std::size_t at = 0; at < 2 * k_keys; ++at) {
    set.values[0][at] = std::sin(static_cast<double>(at));
    weights[at] = std::cos(static_cast<double>(at) / 3.0);
  }
  for (std::size_t key = 0; key < k_keys; ++key) {
    for (std::size_t column = 0; column < 2; ++column) {
      expected[column] += weights[key] * set.values[0][2 * key + column];
      expected[2 + column] += weights[k_keys + key] * set.values[0][2 * key + column];
    }
  }
  sample.values = std::make_shared<const diagnose::ValueSet>(set);
  std::vector<double> averages;
  diagnose::Predictor(sample, diagnose::Noise{})
      .average({}, diagnose::Row{}, k_keys, 2, weights, averages);
  REQUIRE(averages.size() == 4);
  for (std::size_t at = 0; at < 4; ++at) {
    CHECK(averages[at] == Approx(expected[at]));
  }
}

TEST_CASE("the log-sum-exp of nothing is minus infinity, that of 700 and 700 no overflow",
          "[parts]") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(diagnose::log_sum_exp({}) == -infinity);
  CHECK(diagnose::log_sum_exp(std::vector{-infinity, -infinity}) == -infinity);
  CHECK(diagnose::log_sum_exp(std::vector{700.0, 700.0, 710.0})
        == Approx(710.0 + std::log(1.0 + 2.0 * std::exp(-10.0))));
}

TEST_CASE("rounded logits cost out about what is expected of them, be they small or large, and "
          "lse no more") {
  for (const double spread :
       {0.05, 1.0}) { // standard deviation of q; logits have some 3.5 times it
    Settings settings;
    settings.spread = spread;
    const Examined examined(simulate(settings, "healthy"));
    double out = 0.0;
    double lse = 0.0;
    double rows = 0.0;
    for (const auto& row : examined.sample.rows) {
      if (row.visible < 8) {
        continue;
      }
      const auto exact = attend_row(examined, row, false);
      const auto rounded = attend_row(examined, row, true);
      const auto prediction = examined.predictor.predict(examined.context.reference, row);
      for (std::size_t column = 0; column < exact.out.size(); ++column) {
        out += std::pow(rounded.out[column] - exact.out[column], 2) / prediction.coarse;
      }
      lse += std::pow(rounded.lse - exact.lse, 2) / prediction.lse_coarse;
      rows += 1.0;
    }
    INFO("spread " << spread);
    CHECK(out / rows > 0.6);
    CHECK(out / rows < 1.8);
    // Roundings that have one sign would add up: lse allows for it.
    CHECK(lse / rows > 0.04);
    CHECK(lse / rows < 1.2);
  }
}
