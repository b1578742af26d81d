#include "examined.hpp"

#include <mla_scale/diagnose/explanation.hpp>

#include <support/catch.hpp>

// Which explanations hold, and how well: numbers by hand.

using namespace mla_scale;
using namespace simulator;

TEST_CASE("a closed form holds within six errors of what was fitted", "[choice]") {
  const Examined healthy(simulate({}, "healthy"));
  diagnose::Candidate expected;
  expected.mechanism = healthy.context.reference;
  auto explanation = diagnose::explain_with(healthy.context, expected, healthy.context.rows);
  REQUIRE(diagnose::holds(healthy.context, explanation));
  const auto holds = [&](double distance, double error, double coarseness) {
    explanation.candidate.distance = distance;
    explanation.candidate.distance_error = error;
    explanation.score.coarseness = coarseness;
    return diagnose::holds(healthy.context, explanation);
  };
  CHECK(holds(5.9e-3, 1e-3, 0.0));
  CHECK_FALSE(holds(6.1e-3, 1e-3, 0.0));
  // However small the error: float32 leaves 5e-5, rounded logits 2e-3 for each of their units.
  CHECK(holds(4.9e-5, 0.0, 0.0));
  CHECK_FALSE(holds(5.1e-5, 0.0, 0.0));
  CHECK(holds(1.04e-3, 0.0, 0.5));
  CHECK_FALSE(holds(1.06e-3, 0.0, 0.5));
}
