#include "examined.hpp"

#include <mla_scale/diagnose/prefix_scan.hpp>

#include <cmath>
#include <support/catch.hpp>
#include <vector>

// Sums over ranges of keys against plain loops.

using namespace mla_scale;
using namespace simulator;

namespace {

/// ln(1 + |captured - Σ w v / (Σ w + zero_keys)|² / (noise |captured|)²), with w = times · e^x.
double misfit_in_loops(const Examined& examined, std::size_t index,
                       const std::vector<double>& times, double zero_keys) {
  const auto& sample = examined.sample;
  const auto& row = sample.rows[index];
  std::vector<double> sums(sample.width, 0.0);
  double mass = zero_keys;
  for (std::size_t key = 0; key < times.size(); ++key) {
    const double logit =
        examined.context.reference.scale
        * (sample.logits->nope[row.offset + key] + sample.logits->rope[row.offset + key]);
    const double weight = times[key] * std::exp(logit);
    mass += weight;
    for (std::size_t column = 0; column < sample.width; ++column) {
      sums[column] += weight * sample.values->values[row.slot][key * sample.width + column];
    }
  }
  double squared = 0.0;
  double captured = 0.0;
  for (std::size_t column = 0; column < sample.width; ++column) {
    const double out = sample.out_of(index)[column];
    squared += std::pow(out - sums[column] / mass, 2);
    captured += out * out;
  }
  const double noise = examined.predictor.noise().out;
  return std::log(1.0 + squared / (noise * noise * captured));
}

} // namespace

TEST_CASE("ranges of keys, some of them several times, and keys of logit 0 add up", "[parts]") {
  const Examined examined(simulate({}, "healthy"));
  constexpr std::size_t k_index = 40; // row 40 of head 0
  const diagnose::PrefixScan scan(examined.predictor, examined.context.reference, k_index);
  CHECK(scan.keys() == 48); // of the sequence, those that the row does not see as well
  diagnose::RangeSum ranges(3);
  ranges.begin(scan);
  ranges.add(0, 41, std::vector{1.0, 0.5, 0.0});
  ranges.add(8, 16, std::vector{0.0, 1.5, 0.0});
  ranges.add(40, 48);
  ranges.add(5, 5);
  ranges.add(9, 7, std::vector{1.0, 1.0, 1.0}); // none
  ranges.add_zero_keys(2, 3);
  std::vector<std::vector<double>> times(3, std::vector<double>(48, 0.0));
  for (std::size_t key = 0; key < 48; ++key) {
    times[0][key] = (key < 41 ? 1.0 : 0.0) + (key >= 40 ? 1.0 : 0.0);
    times[1][key] =
        (key < 41 ? 0.5 : 0.0) + (key >= 8 && key < 16 ? 1.5 : 0.0) + (key >= 40 ? 1.0 : 0.0);
    times[2][key] = key >= 40 ? 1.0 : 0.0;
  }
  for (std::size_t lane = 0; lane < 3; ++lane) {
    INFO("lane " << lane);
    CHECK(ranges.misfit(lane)
          == Approx(misfit_in_loops(examined, k_index, times[lane], lane == 2 ? 3.0 : 0.0)));
  }
  // Nothing is as bad as a captured row twice its size away.
  ranges.begin(scan);
  CHECK(ranges.misfit(0)
        == Approx(std::log(1.0 + 4.0 / std::pow(examined.predictor.noise().out, 2))));
}

TEST_CASE("rows without an out are not scanned, of too many an even part is", "[parts]") {
  Settings settings;
  settings.heads = 1;
  Examined examined(simulate(settings, "healthy"));
  examined.sample.rows[1].has_out = false;
  const auto rows_of = [&](std::size_t limit) {
    std::vector<std::int64_t> rows;
    for (const auto& scan :
         diagnose::prefix_scans(examined.predictor, examined.context.reference,
                                std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6}, limit, 1)) {
      rows.push_back(scan.row().row);
    }
    return rows;
  };
  CHECK(rows_of(6) == std::vector<std::int64_t>{0, 2, 3, 4, 5, 6});
  CHECK(rows_of(7).size() == 6);
  CHECK(rows_of(3) == std::vector<std::int64_t>{0, 3, 5}); // at 0, 2, 4 of six
}

TEST_CASE("values of so many rows are held as take 128 MiB, of four at least", "[parts]") {
  diagnose::Sample sample;
  CHECK(diagnose::most_keys(sample) == 1);
  sample.rows.resize(2);
  sample.rows[1].keys = 1 << 16;
  sample.width = 16; // a row takes 2^16 · 16 numbers of 8 bytes: 8 MiB
  CHECK(diagnose::most_keys(sample) == 1 << 16);
  CHECK(diagnose::rows_with_values(sample, 24) == 16);
  CHECK(diagnose::rows_with_values(sample, 10) == 10);
  sample.rows[0].keys = 1 << 20;
  CHECK(diagnose::rows_with_values(sample, 24) == 4);
  CHECK(diagnose::rows_with_values(sample, 3) == 3);
}
