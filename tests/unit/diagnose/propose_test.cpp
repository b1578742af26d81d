#include "appended.hpp"

#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <algorithm>
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

TEST_CASE("a scale goes by one identifier once, though two formulas give it") {
  // Where 48^-1/2 itself is expected, its square is that of the expected scale.
  auto expectation = simulate({}, "healthy").expectation;
  expectation.softmax_scale = expectation.base;
  std::vector<double> squared;
  for (const auto& candidate : diagnose::scale_candidates(expectation)) {
    if (candidate.id == "scale.squared") {
      squared.push_back(candidate.value);
    }
  }
  REQUIRE(squared.size() == 2);
  CHECK(squared[0] == Approx(1.0 / 48));
  CHECK(squared[1] == Approx(1.37 * 1.37 / 48));
}

TEST_CASE("gains of heads change as much as the largest of them, and rounding along") {
  Settings settings;
  settings.heads = 2;
  const Examined examined(simulate(settings, "value.gain:heads")); // 0.5 and 1
  std::size_t found = 0;
  for (const auto& candidate : linear_candidates(examined)) {
    if (!candidate.direct) {
      continue;
    }
    CHECK(candidate.effect == Approx(0.5).margin(2e-3));
    const auto& row = examined.sample.rows[20]; // of head 0
    const auto expected = examined.predictor.predict(examined.context.reference, row);
    const auto halved = candidate.direct(row);
    CHECK(halved.out.front() == Approx(0.5 * expected.out.front()).epsilon(5e-3));
    CHECK(halved.fine == Approx(0.25 * expected.fine).epsilon(1e-2)); // variances
    CHECK(halved.coarse == Approx(0.25 * expected.coarse).epsilon(1e-2));
    ++found;
  }
  CHECK(found == 1);
}

TEST_CASE("closed forms are called near that are within three errors of what was fitted") {
  // 20 times the expected scale, where an error that is multiplied is not one that is divided.
  Settings settings;
  settings.lse = false;
  settings.spread = 0.1;
  const Examined examined(simulate(settings, "scale.other:20.3"));
  std::size_t found = 0;
  for (const auto& candidate : linear_candidates(examined)) {
    const auto& part = candidate.parts.front();
    if (part.id == "scale.other" && candidate.parts.size() == 1) {
      const std::string near = text(part, "near");
      const double fitted = number(part, "fitted");
      const double reach = std::max(1e-4, 3.0 * number(part, "standard_error") / fitted);
      for (std::size_t at = near.find("= "); at != std::string::npos;
           at = near.find("= ", at + 1)) {
        CHECK(std::abs(std::log(std::stod(near.substr(at + 2)) / fitted)) < 1.01 * reach);
        ++found;
      }
    }
  }
  CHECK(found > 0);
}

TEST_CASE("a mass far above every logit is found from out, which it leaves next to nothing") {
  Settings settings;
  settings.lse = false;
  const Examined examined(simulate(settings, "softmax.sink:large"));
  const auto candidates = appended(examined, diagnose::propose_extra_mass);
  const auto common = std::find_if(candidates.begin(), candidates.end(), [](const auto& candidate) {
    return candidate.parts.front().parameters.front().name == "sink";
  });
  REQUIRE(common != candidates.end());
  CHECK(number(common->parts.front(), "sink") == Approx(11.5).margin(0.01));
}

TEST_CASE("values that a candidate puts in the place of others come with their squares") {
  const Examined examined(simulate({}, "value.split_swapped"));
  const auto candidates = appended(examined, diagnose::propose_values);
  std::size_t found = 0;
  for (const auto& candidate : candidates) {
    if (!candidate.mechanism.values) {
      continue;
    }
    const auto& set = *candidate.mechanism.values;
    for (std::size_t slot = 0; slot < set.values.size(); ++slot) {
      for (std::size_t key = 0; key < set.squared[slot].size(); ++key) {
        double squared = 0.0;
        for (std::size_t column = 0; column < examined.sample.width; ++column) {
          squared += std::pow(set.values[slot][key * examined.sample.width + column], 2);
        }
        CHECK(set.squared[slot][key] == Approx(squared));
        ++found;
      }
    }
  }
  CHECK(found > 0);
}

TEST_CASE("a layout looked at in a few rows is scored as if it had been in all") {
  Settings settings;
  settings.lse = false;
  const Examined examined(simulate(settings, "output.stride:heads_first"));
  const auto candidates = appended(examined, diagnose::propose_output);
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
  const auto candidates = appended(examined, diagnose::propose_temperature);
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
