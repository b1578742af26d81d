#pragma once

#include "simulator.hpp"

#include <mla_scale/diagnose/diagnose.hpp>

#include <cstdint>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <variant>
#include <vector>

/// What the diagnosis says of a simulated capture.
namespace simulator {

/// The capture as the reference sees it, with the expected scale.
inline mla_scale::reference::Problem posed(const Simulation& simulation) {
  auto problem = mla_scale::reference::make_problem(
      simulation.capture, mla_scale::reference::Form::expanded,
      simulation.expectation.softmax_scale, simulation.expectation.geometry.qk_rope_head_dim);
  REQUIRE(problem);
  return std::move(*problem);
}

/// The widths of DeepSeek-V2, and logits so nearly flat that out hardly tells their scale.
inline Settings nearly_flat_deepseek_v2() {
  Settings settings;
  settings.nope = 128;
  settings.rope = 64;
  settings.latent = 512;
  settings.mscale = 1.2608037; // 0.1 · 0.707 · ln 40 + 1
  settings.lse = false;
  settings.spread = 0.006;
  return settings;
}

inline mla_scale::diagnose::Report diagnosed(const Simulation& simulation, int threads = 0,
                                             const mla_scale::diagnose::Options& options = {}) {
  auto problem = posed(simulation);
  problem.threads = threads;
  auto report =
      mla_scale::diagnose::diagnose(problem, simulation.capture, simulation.expectation, options);
  REQUIRE(report);
  return std::move(*report);
}

inline std::string first_of(const mla_scale::diagnose::Report& report) {
  if (report.findings.empty()) {
    return report.healthy ? "healthy" : "unexplained";
  }
  return report.findings.front().id;
}

/// Of a finding, or of a part of a candidate.
template <class Found>
double number(const Found& finding, const std::string& name) {
  for (const auto& parameter : finding.parameters) {
    if (parameter.name == name) {
      if (const auto* value = std::get_if<double>(&parameter.value)) {
        return *value;
      }
      if (const auto* value = std::get_if<std::int64_t>(&parameter.value)) {
        return static_cast<double>(*value);
      }
    }
  }
  FAIL("no parameter " << name << " in " << finding.id);
  return 0.0;
}

template <class Found>
std::string text(const Found& finding, const std::string& name) {
  for (const auto& parameter : finding.parameters) {
    if (const auto* value = std::get_if<std::string>(&parameter.value);
        value != nullptr && parameter.name == name) {
      return *value;
    }
  }
  return "no parameter " + name;
}

inline std::vector<std::string> all_of(const mla_scale::diagnose::Report& report) {
  std::vector<std::string> ids;
  for (const auto& finding : report.findings) {
    ids.push_back(finding.id);
  }
  return ids;
}

} // namespace simulator
