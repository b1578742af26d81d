#include "simulator.hpp"

#include <mla_scale/diagnose/before_rope.hpp>
#include <mla_scale/diagnose/captured_rotation.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// Captures of the simulated kernel whose RoPE has a bug, with q and k as it read them: attention
// follows from them, but they do not follow from q_pre and k_pe_pre.

using namespace mla_scale;
using simulator::Settings;

namespace {

std::vector<std::string> contradictions(const simulator::Simulation& simulation) {
  const auto problem = reference::make_problem(simulation.capture, reference::Form::expanded,
                                               simulation.expectation.softmax_scale,
                                               simulation.expectation.geometry.qk_rope_head_dim);
  REQUIRE(problem);
  return diagnose::rope_contradictions(*problem, simulation.capture, simulation.expectation);
}

std::vector<std::string> contradictions(const Settings& settings, const std::string& bug) {
  return contradictions(simulator::simulate(settings, bug));
}

/// The rope part of q in the later heads and tokens, as `change` of what it was.
void change_queries(simulator::Simulation& simulation, std::int64_t first_head,
                    const std::function<std::vector<float>(std::span<const float>)>& change,
                    std::int64_t first_token = 0) {
  const tensor::View3& q = simulation.capture.q.value();
  const auto width = static_cast<std::size_t>(simulation.expectation.geometry.qk_rope_head_dim);
  auto* const all =
      std::static_pointer_cast<std::vector<float>>(std::const_pointer_cast<void>(q.tensor->owner))
          ->data();
  for (std::int64_t token = first_token; token < q.tokens; ++token) {
    for (std::int64_t head = first_head; head < q.heads; ++head) {
      float* const part = all + (token * q.heads + head + 1) * q.width - width;
      const std::vector<float> changed = change(std::span<const float>(part, width));
      std::copy(changed.begin(), changed.end(), part);
    }
  }
}

std::vector<float> negated(std::span<const float> part) {
  std::vector<float> result(part.begin(), part.end());
  for (float& x : result) {
    x = -x;
  }
  return result;
}

std::vector<float> pairs_to_halves(std::span<const float> part) {
  std::vector<float> result;
  for (const std::size_t parity : {std::size_t{0}, std::size_t{1}}) {
    for (std::size_t at = parity; at < part.size(); at += 2) {
      result.push_back(part[at]);
    }
  }
  return result;
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

TEST_CASE("keys of a second sequence are looked at where they are") {
  auto simulation = simulator::simulate(upstream(), "healthy"); // 48 queries, 72 keys
  simulation.capture.sequences = {{0, 24, 0, 36}, {24, 48, 36, 72}};
  CHECK(contradictions(simulation).empty());
}

TEST_CASE("without positions or the inputs before RoPE nothing is said of it") {
  Settings settings = upstream();
  settings.before_rope = false;
  CHECK(contradictions(settings, "rope.not_applied").empty());
  const auto whole = simulator::simulate(upstream(), "rope.not_applied");
  CHECK_FALSE(contradictions(whole).empty());
  for (const auto positions : {&tensor::Capture::positions_q, &tensor::Capture::positions_k}) {
    auto simulation = whole;
    (simulation.capture.*positions).clear();
    CHECK(contradictions(simulation).empty());
  }
}

TEST_CASE("a sign is no factor, and no head is left out") {
  for (const std::int64_t heads : {3, 16}) { // 60 rows of 16 heads: one in 15 is compared
    Settings settings = upstream();
    settings.heads = heads;
    settings.queries = 60;
    auto simulation = simulator::simulate(settings, "healthy");
    change_queries(simulation, 1, negated);
    INFO(heads << " heads");
    const auto lines = contradictions(simulation);
    REQUIRE(lines.size() == 1);
    CHECK(lines.front().starts_with("q does not follow from q_pre"));
  }
}

TEST_CASE("tokens of all places are compared, where there are more than 64 vectors") {
  Settings settings = upstream();
  settings.heads = 16;
  settings.queries = 60;
  auto simulation = simulator::simulate(settings, "healthy");
  change_queries(simulation, 0, negated, 50);
  CHECK(contradictions(simulation).size() == 1);
}

TEST_CASE("a rope part of zeros follows from one of zeros") {
  Settings settings = upstream();
  settings.spread = 0.0;
  CHECK(contradictions(settings, "healthy").empty());
}

TEST_CASE("a rope part of zeros does not follow from one that is not zero") {
  auto simulation = simulator::simulate(upstream(), "healthy");
  change_queries(simulation, 0,
                 [](std::span<const float> part) { return std::vector<float>(part.size()); });
  CHECK(contradictions(simulation).size() == 1);
}

TEST_CASE("columns of q and k in different orders are told of, in the same order they are not") {
  auto simulation = simulator::simulate(upstream(), "healthy");
  change_queries(simulation, 0, pairs_to_halves);
  const auto lines = contradictions(simulation);
  REQUIRE(lines.size() == 1);
  CHECK(lines.front().find("different orders") != std::string::npos);
}

TEST_CASE("positions that are off by as much for q and k are said to change nothing") {
  auto simulation = simulator::simulate(upstream(), "healthy");
  for (auto* positions : {&simulation.capture.positions_q, &simulation.capture.positions_k}) {
    for (std::int64_t& position : *positions) {
      position += 7;
    }
  }
  const auto lines = contradictions(simulation);
  REQUIRE(lines.size() == 1);
  CHECK(lines.front().find("attention is the same") != std::string::npos);
  CHECK(lines.front().find("rope.positions_shifted by -7") != std::string::npos);
}

namespace {

/// Every pair of columns turned by an angle: off by its sine, whatever factor is allowed.
std::function<std::vector<float>(std::span<const float>)> turned_by(double sine) {
  return [sine](std::span<const float> part) {
    const auto s = static_cast<float>(sine);
    const auto c = static_cast<float>(std::sqrt(1.0 - sine * sine));
    std::vector<float> result(part.size());
    for (std::size_t at = 0; at + 1 < part.size(); at += 2) {
      result[at] = c * part[at] - s * part[at + 1];
      result[at + 1] = s * part[at] + c * part[at + 1];
    }
    return result;
  };
}

diagnose::CapturedRotation rotation_of(const simulator::Simulation& simulation) {
  const auto problem = reference::make_problem(simulation.capture, reference::Form::expanded,
                                               simulation.expectation.softmax_scale,
                                               simulation.expectation.geometry.qk_rope_head_dim);
  REQUIRE(problem);
  const auto before =
      diagnose::BeforeRope::of(*problem, simulation.capture, simulation.expectation.rotary);
  REQUIRE(before);
  return diagnose::captured_rotation(*before, simulation.expectation);
}

} // namespace

TEST_CASE("a rope part a tenth off does not follow, a part less off does", "[parts]") {
  for (const auto& [sine, lines] : {std::pair{0.095, 0}, std::pair{0.105, 1}}) {
    auto simulation = simulator::simulate(upstream(), "healthy");
    change_queries(simulation, 0, turned_by(sine));
    CHECK(static_cast<int>(contradictions(simulation).size()) == lines);
  }
}

TEST_CASE("positions that are off by 320 are named, by more only told of", "[parts]") {
  for (const std::int64_t shift : {-320, -1, 1, 320, -321, 321}) {
    auto simulation = simulator::simulate(upstream(), "healthy");
    for (std::int64_t& position : simulation.capture.positions_q) {
      position -= shift;
    }
    const auto lines = contradictions(simulation);
    REQUIRE(lines.size() == 1);
    const std::string named = "rope.positions_shifted by " + std::to_string(shift) + " leaves it";
    CHECK((lines.front().find(named) != std::string::npos) == (std::abs(shift) <= 320));
  }
}

TEST_CASE("q that another rotation gives is known to be of that one", "[parts]") {
  const Settings settings = upstream();
  const auto& expected = simulator::simulate(settings, "healthy").expectation;
  const auto check = [&](const std::string& bug, diagnose::Pairing pairing,
                         const std::vector<double>& frequencies, double factor) {
    INFO(bug);
    const auto captured = rotation_of(simulator::simulate(settings, bug));
    CHECK(captured.known);
    CHECK(captured.rotation.pairing == pairing);
    CHECK(captured.rotation.frequencies == frequencies);
    CHECK(captured.rotation.factor == factor);
    CHECK(captured.rotation.shift == 0.0);
  };
  const auto& rotary = expected.rotary;
  check("healthy", diagnose::Pairing::interleaved, rotary.inverse_frequencies, 1.0);
  check("rope.interleave_swapped", diagnose::Pairing::halves, rotary.inverse_frequencies, 1.0);
  check("rope.interleave_swapped:mixed", diagnose::Pairing::mixed, rotary.inverse_frequencies, 1.0);
  check("rope.frequencies_plain", diagnose::Pairing::interleaved, rotary.plain_inverse_frequencies,
        1.0);
  check("rope.magnitude", diagnose::Pairing::interleaved, rotary.inverse_frequencies, 1.37);
}

TEST_CASE("q two hundredths off any rotation is of none that is known", "[parts]") {
  for (const auto& [sine, known] : {std::pair{0.018, true}, std::pair{0.022, false}}) {
    auto simulation = simulator::simulate(upstream(), "healthy");
    change_queries(simulation, 0, turned_by(sine));
    const auto captured = rotation_of(simulation);
    CHECK(captured.known == known);
    CHECK(captured.rotation.pairing == diagnose::Pairing::interleaved);
  }
}
