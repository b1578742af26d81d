#include "simulator.hpp"

#include <mla_scale/diagnose/captured_rotation.hpp>

#include <string>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// Captures of the simulated kernel whose RoPE has a bug, with q and k as it read them: attention
// follows from them, but they do not follow from q_pre and k_pe_pre.

using namespace mla_scale;
using simulator::Settings;

namespace {

std::vector<std::string> contradictions(const Settings& settings, const std::string& bug) {
  const auto simulation = simulator::simulate(settings, bug);
  const auto problem = reference::make_problem(simulation.capture, reference::Form::expanded,
                                               simulation.expectation.softmax_scale,
                                               simulation.expectation.geometry.qk_rope_head_dim);
  REQUIRE(problem);
  return diagnose::rope_contradictions(*problem, simulation.capture, simulation.expectation);
}

Settings upstream(bool interleaved = true) {
  Settings settings;
  settings.bug_upstream = true;
  settings.interleaved = interleaved;
  settings.prefix = 24;
  return settings;
}

} // namespace

TEST_CASE("a bug in RoPE before the capture is named, with the tensor that has it") {
  struct Case {
    std::string bug;
    std::string q; ///< named for q, "" when q is right
    std::string k;
  };
  for (const bool interleaved : {true, false}) {
    for (const Case& one :
         {Case{"rope.interleave_swapped", "rope.interleave_swapped", "rope.interleave_swapped"},
          Case{"rope.interleave_swapped:q", "rope.interleave_swapped", ""},
          Case{"rope.interleave_swapped:k", "", "rope.interleave_swapped"},
          Case{"rope.frequencies_plain", "rope.frequencies_plain", "rope.frequencies_plain"},
          Case{"rope.not_applied:q", "rope.not_applied", ""},
          Case{"rope.not_applied:k", "", "rope.not_applied"},
          Case{"rope.positions_shifted", "rope.positions_shifted by 1", ""}}) {
      INFO(one.bug << (interleaved ? ", interleaved" : ", halves"));
      const auto lines = contradictions(upstream(interleaved), one.bug);
      std::size_t at = 0;
      for (const auto& [name, bug] : {std::pair("q ", one.q), std::pair("k ", one.k)}) {
        if (!bug.empty()) {
          REQUIRE(at < lines.size());
          CHECK(lines[at].starts_with(name));
          CHECK(lines[at].find("as " + bug + " leaves it") != std::string::npos);
          ++at;
        }
      }
      CHECK(at == lines.size());
    }
  }
}

TEST_CASE("inputs that follow from those before RoPE get no line, whatever the kernel did") {
  for (const char* bug : {"healthy", "rope.interleave_swapped", "mask.top_left"}) {
    Settings settings = upstream();
    settings.bug_upstream = false;
    CHECK(contradictions(settings, bug).empty());
    settings.dtype = tensor::Dtype::f16;
    CHECK(contradictions(settings, bug).empty());
  }
}

TEST_CASE("a factor on the rope part, which a temperature may be, is no contradiction") {
  CHECK(contradictions(upstream(), "rope.magnitude").empty());
}

TEST_CASE("without positions or the inputs before RoPE nothing is said of it") {
  Settings settings = upstream();
  settings.before_rope = false;
  CHECK(contradictions(settings, "rope.not_applied").empty());
}
