#include "examined.hpp"

#include <mla_scale/diagnose/compose.hpp>

#include <algorithm>
#include <string>
#include <support/catch.hpp>

// Two bugs at once.

using namespace mla_scale;
using namespace simulator;

namespace {

Settings few_rows() {
  Settings settings;
  settings.heads = 1;
  settings.queries = 24;
  settings.nope = 8;
  settings.rope = 4;
  settings.value = 6;
  settings.latent = 16;
  return settings;
}

} // namespace

TEST_CASE("a scale and a mask are found together, and cost 4 more than the mask", "[choice]") {
  const Examined examined(simulate(few_rows(), "scale.log2e_missing+mask.window"));
  const auto found = diagnose::explain_composed(examined.context);
  REQUIRE(found.size() == 3);
  CHECK(found[0].total >= found[1].total);
  CHECK(found[1].total >= found[2].total);
  const auto& best = found.front();
  REQUIRE(best.candidate.parts.size() == 2);
  const auto& scale = best.candidate.parts[0];
  CHECK(scale.id == "scale.log2e_missing");
  CHECK(best.candidate.parts[1].id == "mask.window");
  CHECK(number(scale, "ratio") == Approx(std::log(2.0)));
  CHECK(number(scale, "expected") == examined.context.reference.scale);
  CHECK(scale.evidence.starts_with("with scale "));
  CHECK(scale.evidence.ends_with(" (expected · ln 2) and a second bug"));
  CHECK(diagnose::holds(examined.context, best));
  CHECK(best.score.rows == 24);
  std::vector<diagnose::Candidate> masks;
  diagnose::propose_masks(examined.context, masks);
  const auto window = std::find_if(masks.begin(), masks.end(), [](const auto& candidate) {
    return candidate.parts.front().id == "mask.window";
  });
  REQUIRE(window != masks.end());
  CHECK(best.candidate.cost == Approx(window->cost + 4.0));
}

TEST_CASE("without out a mass beside a scale is looked for alone", "[choice]") {
  auto simulation = simulate(few_rows(), "scale.log2e_missing+softmax.sink");
  simulation.capture.out.reset();
  const Examined examined(simulation);
  const auto composed = diagnose::explain_composed(examined.context);
  REQUIRE_FALSE(composed.empty());
  for (const auto& one : composed) {
    REQUIRE(one.candidate.parts.size() == 2);
    CHECK(one.candidate.parts[1].id.starts_with("softmax."));
  }
}
