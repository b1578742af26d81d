#include "appended.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Expected values: the shifts that variants.cpp was told to inject.

using namespace mla_scale;
using namespace simulator;

namespace {

Settings few_rows() {
  Settings settings = tiny();
  settings.queries = 8;
  settings.rope = 16;
  return settings;
}

Candidates rotations(const Settings& settings, const std::string& bug) {
  return appended(Examined(simulate(settings, bug)), diagnose::propose_rope);
}

std::vector<double> shifts_of(const Candidates& all) {
  std::vector<double> found;
  for (const auto& candidate : with_id(all, "rope.positions_shifted")) {
    const auto& part = candidate.parts.front();
    if (!part.parameters.empty()) {
      found.push_back(number(part, "shift"));
    }
  }
  return found;
}

std::vector<double> shifts_found(const Settings& settings, double shift) {
  return shifts_of(rotations(settings, fmt::format("rope.positions_shifted:{}", shift)));
}

const diagnose::Candidate& rotation_with(const Candidates& all, const std::string& evidence) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& candidate) {
    return candidate.parts.front().evidence == evidence;
  });
  REQUIRE(found != all.end());
  return *found;
}

double largest_error(const Examined& examined, const diagnose::Candidate& candidate,
                     std::size_t index) {
  const auto prediction =
      examined.predictor.predict(candidate.mechanism, examined.sample.rows[index]);
  const auto captured = examined.sample.out_of(index);
  double error = 0.0;
  for (std::size_t column = 0; column < captured.size(); ++column) {
    error = std::max(error, std::abs(prediction.out[column] - captured[column]));
  }
  return error;
}

} // namespace

TEST_CASE("positions are found shifted by up to 320, by pages, and by no other number",
          "[proposers]") {
  for (const double shift : {1.0, -1.0, 3.0, 320.0, -320.0, 512.0, -512.0, 1024.0, -1024.0, 2048.0,
                             -2048.0, 4096.0, -4096.0}) {
    const auto found = shifts_found(few_rows(), shift);
    REQUIRE(found.size() == 2);
    CHECK(found.front() == shift);
  }
  CHECK(shifts_found(few_rows(), 321.0).front() != 321.0);
}

TEST_CASE("positions are found shifted by what a sequence holds and where it begins",
          "[proposers]") {
  Settings settings = few_rows();
  settings.prefix = 400;
  settings.first_position = 600;
  // The prefix, all keys, and the first query's position.
  for (const double shift : {400.0, -400.0, 408.0, -408.0, 1000.0, -1000.0}) {
    CHECK(shifts_found(settings, shift).front() == shift);
  }
  settings.queries = 330;
  settings.prefix = 0;
  settings.first_position = 0;
  CHECK(shifts_found(settings, 330.0).front() == 330.0);
}

TEST_CASE("a shift is found from lse where there is no out", "[proposers]") {
  Settings settings = few_rows();
  settings.lse = true;
  auto simulation = simulate(settings, "rope.positions_shifted:5");
  simulation.capture.out.reset();
  const Examined examined(std::move(simulation));
  CHECK(shifts_of(appended(examined, diagnose::propose_rope)).front() == 5.0);
}

TEST_CASE("a shifted rotation predicts the rows of the probe, and all once it is complete",
          "[proposers]") {
  Settings settings = few_rows();
  settings.prefix = 3;
  Examined examined(simulate(settings, "rope.positions_shifted:5"));
  examined.context.probe.resize(6);
  const auto all = appended(examined, diagnose::propose_rope);
  auto shifted = rotation_with(all, "positions of q moved by 5 against those of k");
  CHECK(shifted.cost == 6.0);
  CHECK(largest_error(examined, shifted, 5) < 1e-4);
  CHECK(largest_error(examined, shifted, 7) > 1e-3);
  shifted.complete(shifted);
  CHECK(largest_error(examined, shifted, 7) < 1e-4);
}

TEST_CASE("positions that begin again behind the prefix are proposed as such", "[proposers]") {
  Settings settings = few_rows();
  settings.prefix = 9;
  const Examined examined(simulate(settings, "rope.positions_shifted:restart"));
  const auto all = appended(examined, diagnose::propose_rope);
  const auto& again = rotation_with(all, "positions begin again at 0 behind the prefix");
  CHECK(again.cost == 1.5);
  for (std::size_t row = 0; row < 8; ++row) {
    CHECK(largest_error(examined, again, row) < 1e-4);
  }
}

TEST_CASE("a captured q that no known rotation gives may have been rotated behind the capture",
          "[proposers]") {
  const std::string evidence = "out follows the model's RoPE, the captured q does not";
  const auto told = [&](const Candidates& all) {
    return std::any_of(all.begin(), all.end(), [&](const auto& candidate) {
      return candidate.parts.front().evidence == evidence;
    });
  };
  CHECK_FALSE(told(rotations(few_rows(), "healthy")));
  Settings settings = few_rows();
  settings.prefix = 3;
  // The captured q and out are of other q_pre.
  auto simulation = simulate(settings, "healthy");
  auto other = simulation;
  settings.seed = 9;
  other.capture.q = simulate(settings, "healthy").capture.q;
  const Examined examined(std::move(other));
  const auto all = appended(examined, diagnose::propose_rope);
  REQUIRE(told(all));
  const auto& follows = rotation_with(all, evidence);
  CHECK(follows.cost == 6.0);
  // The rope part is that of q_pre, which out follows.
  const Examined right(std::move(simulation));
  const auto& row = right.sample.rows[4];
  for (std::size_t key = 0; key < row.keys; ++key) {
    CHECK(follows.mechanism.logits->rope[row.offset + key]
          == Approx(right.sample.logits->rope[row.offset + key]).margin(1e-5));
  }
}

TEST_CASE("a row that no shift explains does not hide the shift of the others", "[proposers]") {
  for (const bool lse : {false, true}) {
    Settings settings = few_rows();
    settings.lse = lse;
    auto simulation = simulate(settings, "rope.positions_shifted:5");
    if (lse) {
      simulation.capture.out.reset();
    }
    Examined examined(std::move(simulation));
    examined.sample.rows[6].lse += 50.0;
    for (std::size_t column = 0; column < examined.sample.width && !lse; ++column) {
      examined.sample.out[6 * examined.sample.width + column] += column % 2 == 0 ? 50.0 : -50.0;
    }
    CHECK(shifts_of(appended(examined, diagnose::propose_rope)).front() == 5.0);
  }
}
