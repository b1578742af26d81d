#pragma once

#include "diagnosed.hpp"

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/choose_rows.hpp>

#include <cstddef>
#include <numeric>
#include <support/catch.hpp>
#include <utility>
#include <vector>

namespace simulator {

/// A simulated capture as the parts of the diagnosis see it: every row of every head is looked at,
/// fitted and scored, on one thread.
struct Examined {
  explicit Examined(Simulation of)
      : simulation(std::move(of)), problem(posed(simulation)), sample(sample_of_all()),
        predictor(sample, mla_scale::diagnose::noise_of(simulation.capture, false)),
        context{problem, simulation.capture, simulation.expectation, sample, predictor, {}, {}, {},
                {}} {
    problem.threads = 1;
    context.rows.resize(sample.rows.size());
    std::iota(context.rows.begin(), context.rows.end(), std::size_t{0});
    context.probe = context.rows;
    context.fit = context.rows;
    context.reference.scale = simulation.expectation.softmax_scale;
  }
  Examined(const Examined&) = delete;
  Examined& operator=(const Examined&) = delete;

  Simulation simulation;
  mla_scale::reference::Problem problem;
  mla_scale::diagnose::Sample sample;
  mla_scale::diagnose::Predictor predictor;
  mla_scale::diagnose::Context context;

private:
  [[nodiscard]] mla_scale::diagnose::Sample sample_of_all() const {
    auto made = mla_scale::diagnose::make_sample(
        problem, simulation.capture,
        mla_scale::diagnose::choose_rows(problem, simulation.capture.heads, 1'000'000));
    REQUIRE(made);
    return std::move(*made);
  }
};

} // namespace simulator
