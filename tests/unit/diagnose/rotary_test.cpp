#include "diagnosed.hpp"

#include <mla_scale/diagnose/before_rope.hpp>
#include <mla_scale/diagnose/rope_variants.hpp>
#include <mla_scale/diagnose/rotary.hpp>

#include <algorithm>
#include <cmath>
#include <support/catch.hpp>
#include <vector>

// Rotations by hand: 90 and 180 degrees move columns and change signs.

using namespace mla_scale;
using diagnose::Pairing;
using diagnose::Rotation;

namespace {

const double k_right_angle = std::acos(0.0);

void check_rotated(double position, const Rotation& rotation, const std::vector<double>& expected) {
  const std::vector<double> vector = {1.0, 2.0, 3.0, 4.0};
  const auto rotated = diagnose::rotate(vector, position, rotation);
  REQUIRE(rotated.size() == 4);
  for (std::size_t column = 0; column < 4; ++column) {
    INFO("column " << column);
    CHECK(rotated[column] == Approx(expected[column]).margin(1e-12));
  }
}

} // namespace

TEST_CASE("pairs are rotated as the layout says", "[parts]") {
  // At position 1 the first pair turns by 90 degrees, the second by 180.
  Rotation rotation;
  rotation.frequencies = {k_right_angle, 2.0 * k_right_angle};
  rotation.pairing = Pairing::interleaved; // (1, 2) and (3, 4)
  check_rotated(1.0, rotation, {-2.0, 1.0, -3.0, -4.0});
  rotation.pairing = Pairing::halves; // (1, 3) and (2, 4)
  check_rotated(1.0, rotation, {-3.0, -2.0, 1.0, -4.0});
  // Cosines 90, 180, 90, 180 degrees for the four columns of the pairs (1, 2) and (3, 4).
  rotation.pairing = Pairing::mixed;
  check_rotated(1.0, rotation, {-2.0, -2.0, -4.0, -4.0});
}

TEST_CASE("positions may be shifted, columns multiplied and permuted, or nothing rotated",
          "[parts]") {
  Rotation rotation;
  rotation.pairing = Pairing::interleaved;
  rotation.frequencies = {k_right_angle, 2.0 * k_right_angle};
  rotation.shift = -2.0;
  rotation.factor = 10.0;
  check_rotated(3.0, rotation, {-20.0, 10.0, -30.0, -40.0});
  rotation.to_halves = true;
  check_rotated(3.0, rotation, {-20.0, -30.0, 10.0, -40.0});
  rotation.frequencies.clear();
  check_rotated(3.0, rotation, {10.0, 30.0, 20.0, 40.0});
}

TEST_CASE("keys are rotated by their own positions, those of a prefix from its end when positions "
          "begin again",
          "[parts]") {
  simulator::Settings settings;
  settings.queries = 280; // more than a block of 256 keys
  settings.prefix = 24;
  settings.heads = 1;
  settings.first_position = 5;
  settings.dtype = tensor::Dtype::f32;
  auto simulation = simulator::simulate(settings, "healthy");
  const auto problem = simulator::posed(simulation);
  const auto& rotary = simulation.expectation.rotary;
  Rotation rotation;
  rotation.pairing = Pairing::interleaved;
  rotation.frequencies = rotary.inverse_frequencies;
  Rotation later = rotation;
  later.shift = 24.0;
  const auto before = diagnose::BeforeRope::of(problem, simulation.capture, rotary);
  REQUIRE(before);
  const tensor::Sequence& sequence = problem.sequences.front();
  for (const bool restart : {false, true}) {
    const auto keys = before->keys(sequence, rotation, restart, 2);
    REQUIRE(keys.rows() == 304);
    for (std::int64_t key = 0; key < keys.rows(); ++key) {
      const auto expected = before->key(sequence, key, restart && key < 24 ? later : rotation);
      CHECK((keys.row(key).transpose() - expected).norm() == 0.0);
    }
  }
  // The captured k of the model itself.
  std::vector<double> captured(16);
  problem.k->read(303, 0, 32, 16, captured.data());
  const auto last = before->key(sequence, 303, rotation);
  for (std::size_t column = 0; column < 16; ++column) {
    CHECK(last[static_cast<Eigen::Index>(column)] == Approx(captured[column]).margin(1e-5));
  }
}

TEST_CASE("keys without positions stand where they are in their sequence", "[parts]") {
  simulator::Settings settings;
  settings.dtype = tensor::Dtype::f32;
  auto simulation = simulator::simulate(settings, "healthy"); // at positions 0, 1, ...
  const auto problem = simulator::posed(simulation);
  const auto& rotary = simulation.expectation.rotary;
  Rotation rotation{Pairing::interleaved, rotary.inverse_frequencies};
  const tensor::Sequence second{20, 48, 20, 48};
  const auto with = diagnose::BeforeRope::of(problem, simulation.capture, rotary);
  const auto at_29 = with->key(second, 29, rotation);
  simulation.capture.positions_k.clear();
  const auto without = diagnose::BeforeRope::of(problem, simulation.capture, rotary);
  rotation.shift = 20.0;
  CHECK((without->key(second, 29, rotation) - at_29).norm() == 0.0);
  simulation.capture.positions_k.assign(29, 5); // one too few for key 29
  CHECK((without->key(second, 29, rotation) - at_29).norm() == 0.0);
}

TEST_CASE("the prefix of a sequence is what it has more keys than queries", "[parts]") {
  simulator::Settings settings;
  settings.prefix = 12;
  settings.dtype = tensor::Dtype::f32;
  const auto simulation = simulator::simulate(settings, "healthy");
  const auto problem = simulator::posed(simulation);
  const auto& rotary = simulation.expectation.rotary;
  const auto before = diagnose::BeforeRope::of(problem, simulation.capture, rotary);
  REQUIRE(before);
  const tensor::Sequence second{20, 48, 30, 60}; // 28 queries, 30 keys
  const Rotation rotation{Pairing::interleaved, rotary.inverse_frequencies};
  Rotation later = rotation;
  later.shift = 2.0;
  const auto keys = before->keys(second, rotation, true, 1);
  CHECK((keys.row(1).transpose() - before->key(second, 31, later)).norm() == 0.0);
  CHECK((keys.row(2).transpose() - before->key(second, 32, rotation)).norm() == 0.0);
}

TEST_CASE("frequencies without YaRN are a bug where YaRN changes one of them", "[parts]") {
  diagnose::Rotary rotary;
  rotary.inverse_frequencies = {1.0, 0.1, 0.01};
  const auto proposed = [&](double last) {
    rotary.plain_inverse_frequencies = {1.0, 0.1, last};
    const auto all = diagnose::rope_variants(rotary, {Pairing::halves, rotary.inverse_frequencies});
    return std::count_if(all.begin(), all.end(), [](const diagnose::RopeVariant& variant) {
      return variant.id == "rope.frequencies_plain";
    });
  };
  CHECK(proposed(0.01) == 0);
  CHECK(proposed(0.01 * (1.0 + 1e-12)) == 0); // the same to rounding
  CHECK(proposed(0.01 * (1.0 + 1e-6)) == 4);
  CHECK(proposed(0.01 * (1.0 - 1e-6)) == 4);
}
