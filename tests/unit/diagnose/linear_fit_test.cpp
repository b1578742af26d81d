#include "diagnosed.hpp"

#include <mla_scale/diagnose/linear_fit.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// Newton's method: with the right derivatives one step from a distance d of the minimum ends at a
// distance of order d², with wrong ones at a part of d. Captures are of the simulated kernel, which
// shares no code with the fit.

using namespace mla_scale;
using diagnose::Factors;
using diagnose::FitSource;

namespace {

constexpr double k_distance = 1e-3;

struct Direction {
  std::string name;
  diagnose::FitDirections columns;
  Factors start; ///< k_distance off in what the direction moves, right in the rest
  bool moves_out_alone = false;
};

std::vector<Direction> all_directions() {
  const double off = 1.0 + k_distance;
  return {{"scale", diagnose::along_scale(), {off, off, 1.0}},
          {"nope", diagnose::along_nope(), {off, 1.0, 1.0}},
          {"rope", diagnose::along_rope(), {1.0, off, 1.0}},
          {"nope and rope", diagnose::along_nope_and_rope(), {off, 2.0 - off, 1.0}},
          {"gain", diagnose::along_gain(), {1.0, 1.0, off}, true},
          {"latent", diagnose::along_latent(), {off, 1.0, off}, true},
          {"scale and gain", diagnose::along_scale_and_gain(), {off, off, 2.0 - off}, true},
          {"everything", diagnose::along_everything(), {off, 2.0 - off, off}, true}};
}

double distance(const Factors& factors) {
  return std::max(
      {std::abs(factors.nope - 1.0), std::abs(factors.rope - 1.0), std::abs(factors.gain - 1.0)});
}

/// A capture and what a fit reads of it: every row, and the kernel that was expected.
class Fitted {
public:
  explicit Fitted(const simulator::Simulation& simulation)
      : m_sample(sampled(simulation)),
        m_predictor(m_sample, diagnose::noise_of(simulation.capture, false)) {
    m_mechanism.scale = simulation.expectation.softmax_scale;
    m_rows.resize(m_sample.rows.size());
    std::iota(m_rows.begin(), m_rows.end(), std::size_t{0});
  }

  [[nodiscard]] std::optional<diagnose::LinearFit> fit(FitSource source,
                                                       const diagnose::FitDirections& directions,
                                                       const Factors& start,
                                                       int iterations = 25) const {
    return diagnose::fit_factors(m_predictor, m_mechanism, m_rows, source, directions, start,
                                 iterations);
  }

private:
  static diagnose::Sample sampled(const simulator::Simulation& simulation) {
    const auto problem = simulator::posed(simulation);
    auto sample =
        diagnose::make_sample(problem, simulation.capture,
                              diagnose::choose_rows(problem, simulation.capture.heads, 100'000));
    REQUIRE(sample);
    return std::move(*sample);
  }

  diagnose::Sample m_sample;
  diagnose::Predictor m_predictor;
  diagnose::Mechanism m_mechanism;
  std::vector<std::size_t> m_rows;
};

} // namespace

TEST_CASE("one step of a fit squares the distance to the minimum, along every direction") {
  simulator::Settings settings;
  settings.dtype = tensor::Dtype::f32;
  settings.wide_output = true;
  const Fitted fitted(simulator::simulate(settings, "healthy"));
  for (const Direction& direction : all_directions()) {
    for (const FitSource source : {FitSource::out, FitSource::lse}) {
      if (source == FitSource::lse && direction.moves_out_alone) {
        continue; // lse does not depend on the gain of out
      }
      INFO(direction.name << " from " << (source == FitSource::out ? "out" : "lse"));
      const auto fit = fitted.fit(source, direction.columns, direction.start, 1);
      REQUIRE(fit);
      CHECK(distance(fit->factors) < 0.02 * k_distance);
    }
  }
}

TEST_CASE("a scale fitted from out is off by less than three of its errors, however few the rows") {
  simulator::Settings settings;
  settings.heads = 1;
  settings.prefix = 12;
  settings.spread = 0.5;
  for (const std::int64_t queries : {1, 2, 6}) {
    settings.queries = queries;
    double squares = 0.0;
    constexpr unsigned k_captures = 60;
    for (settings.seed = 1; settings.seed <= k_captures; ++settings.seed) {
      const Fitted fitted(simulator::simulate(settings, "healthy"));
      const auto fit = fitted.fit(FitSource::out, diagnose::along_scale(), {});
      REQUIRE(fit);
      const double errors = (fit->factors.nope - 1.0) / fit->standard_errors.front();
      INFO(queries << " rows, seed " << settings.seed);
      CHECK(std::abs(errors) < 3.0);
      squares += errors * errors;
    }
    CHECK(std::sqrt(squares / k_captures) < 1.0);
  }
}
