#include "diagnosed.hpp"

#include <mla_scale/diagnose/choose_rows.hpp>
#include <mla_scale/diagnose/scan_search.hpp>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <support/catch.hpp>
#include <thread>
#include <vector>

// The capture is of the healthy simulated kernel, which shares no code with the search: so the
// candidates that see all keys of every row fit best, and all of those fit alike.

using namespace mla_scale;
using namespace mla_scale::diagnose;

TEST_CASE("of candidates that fit alike a search finds the first, on any number of threads") {
  simulator::Settings settings;
  settings.queries = 97;
  const auto simulation = simulator::simulate(settings, "healthy");
  const auto problem = posed(simulation);
  const auto sample = make_sample(problem, simulation.capture, choose_rows(problem, 3, 1'000'000));
  REQUIRE(sample);
  const Predictor predictor(*sample, noise_of(simulation.capture, false));
  Mechanism mechanism;
  mechanism.scale = simulation.expectation.softmax_scale;
  std::vector<std::size_t> rows(sample->rows.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});

  // Lane 0: every number of first keys three times over. Lane 1: that many last keys.
  constexpr std::size_t k_all_keys = std::size_t{3} * 96; // of the last row, which has 97
  const SumCandidate sum = [](const PrefixScan& scan, std::size_t candidate, RangeSum& ranges) {
    if (candidate == k_all_keys && scan.row().row == 0) { // the others overtake it
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const std::size_t visible = scan.row().visible;
    const std::size_t keys = std::min(candidate / 3 + 1, visible);
    ranges.add(0, keys, std::vector{1.0, 0.0});
    ranges.add(visible - keys, visible, std::vector{0.0, 1.0});
  };
  constexpr std::size_t k_candidates = 600;
  for (const unsigned threads : {1U, 2U, 5U}) {
    INFO(threads);
    const auto scans = prefix_scans(predictor, mechanism, rows, rows.size(), threads);
    REQUIRE(scans.size() == rows.size());
    const Misfits misfits = search(scans, k_candidates, 2, sum, threads);
    CHECK(misfits.least(0) == k_all_keys);
    CHECK(misfits.least(1) == k_all_keys);
    Misfits all = search(scans, k_candidates, 2, sum, threads, Needed::all);
    CHECK(all.of(k_candidates - 1)[0] == all.of(k_all_keys)[0]);
    CHECK(all.of(0)[0] > all.of(k_all_keys)[0]);
    CHECK(all.of(0)[0] < 1e300);
  }
}

TEST_CASE("a search without candidates finds none, without rows the first") {
  const SumCandidate none = [](const PrefixScan&, std::size_t, RangeSum&) {};
  CHECK_FALSE(search({}, 0, 1, none, 2).least().has_value());
  CHECK(search({}, 40, 1, none, 2).least() == std::size_t{0});
}
