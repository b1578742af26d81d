#include "examined.hpp"

#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>

#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Numbers that a candidate brings beside its prediction: of them hangs whether it holds.

using namespace mla_scale;
using namespace simulator;

namespace {

std::vector<diagnose::Candidate> linear_candidates(const Examined& examined) {
  return diagnose::gather(examined.context, diagnose::linear_proposers(examined.context), 1);
}

} // namespace

TEST_CASE("a candidate for the scale changes it by as much as it says") {
  // 48^-1/2 without 1.37², or that in bf16.
  const Examined examined(simulate({}, "scale.mscale_omitted"));
  std::size_t found = 0;
  for (const auto& candidate : linear_candidates(examined)) {
    if (candidate.parts.size() == 1 && candidate.parts.front().id == "scale.mscale_omitted") {
      CHECK(candidate.effect == Approx(1.0 - 1.0 / (1.37 * 1.37)).margin(1e-3));
      ++found;
    }
  }
  CHECK(found > 0);
}

TEST_CASE("gains of heads change as much as the largest of them") {
  Settings settings;
  settings.heads = 2;
  const Examined examined(simulate(settings, "value.gain:heads")); // 0.5 and 1
  std::size_t found = 0;
  for (const auto& candidate : linear_candidates(examined)) {
    if (candidate.direct) {
      CHECK(candidate.effect == Approx(0.5).margin(2e-3));
      ++found;
    }
  }
  CHECK(found == 1);
}

TEST_CASE("a layout looked at in a few rows is scored as if it had been in all") {
  Settings settings;
  settings.lse = false;
  const Examined examined(simulate(settings, "output.stride:heads_first"));
  std::vector<diagnose::Candidate> candidates;
  diagnose::propose_output(examined.context, candidates);
  REQUIRE_FALSE(candidates.empty());
  for (const auto& candidate : candidates) {
    const auto explanation =
        diagnose::explain_with(examined.context, candidate, examined.context.rows);
    REQUIRE(explanation.score.rows < examined.context.rows.size());
    const double share = static_cast<double>(examined.context.rows.size())
                         / static_cast<double>(explanation.score.rows);
    CHECK(explanation.total
          == Approx(explanation.score.likelihood * share - explanation.candidate.cost));
  }
}

TEST_CASE("the scale of later rows is as exact as the mean of their fits") {
  Settings settings;
  settings.heads = 1;
  settings.lse = false;
  settings.queries = 40;
  const Examined examined(simulate(settings, "scale.mscale_wrong_key:rows")); // from row 20 on
  const auto& context = examined.context;
  double information = 0.0;
  for (std::size_t row = 20; row < 40; ++row) {
    const auto fit =
        diagnose::fit_factors(context.predictor, context.reference, std::vector<std::size_t>{row},
                              diagnose::FitSource::out, diagnose::along_scale(), {});
    REQUIRE(fit);
    information += std::pow(fit->standard_errors.front(), -2);
  }
  std::vector<diagnose::Candidate> candidates;
  diagnose::propose_temperature(context, candidates);
  std::size_t found = 0;
  for (const auto& candidate : candidates) {
    const auto& part = candidate.parts.front();
    if (part.id == "scale.mscale_wrong_key"
        && part.evidence.find("rows 20 and later") != std::string::npos) {
      CHECK(number(part, "standard_error") / context.reference.scale
            == Approx(1.0 / std::sqrt(information)));
      ++found;
    }
  }
  CHECK(found == 1);
}
