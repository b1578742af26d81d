#include "examined.hpp"
#include "kernel.hpp"

#include <cmath>
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

} // namespace

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
