#include "appended.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Expected values: the factors that variants.cpp was told to inject. float32 tells them exactly.

using namespace mla_scale;
using namespace simulator;

namespace {

Candidates factors_of(const Examined& examined) {
  return diagnose::gather(examined.context, diagnose::linear_proposers(examined.context), 1);
}

Candidates factors_of(const Settings& settings, const std::string& bug) {
  return factors_of(Examined(simulate(settings, bug)));
}

/// Candidates of one part, with that identifier and parameter.
Candidates alone(const Candidates& all, const std::string& id, const std::string& parameter) {
  Candidates found;
  for (const auto& candidate : with_id(all, id)) {
    const auto& parameters = candidate.parts.front().parameters;
    if (candidate.parts.size() == 1
        && std::any_of(parameters.begin(), parameters.end(),
                       [&](const auto& one) { return one.name == parameter; })) {
      found.push_back(candidate);
    }
  }
  return found;
}

/// Candidates of two parts: a scale, and that.
Candidates mixed(const Candidates& all, const std::string& scale, const std::string& other) {
  Candidates found;
  for (const auto& candidate : with_id(all, scale)) {
    if (candidate.parts.size() == 2 && candidate.parts[1].id == other) {
      found.push_back(candidate);
    }
  }
  return found;
}

/// 1.37² of the simulated mscale.
constexpr double k_g2 = 1.37 * 1.37;

/// Ratios of the rope part's candidates without its fitted number: closed forms.
std::vector<double> exact_ropes(double injected) {
  std::vector<double> found;
  for (const auto& candidate : alone(factors_of(tiny(), fmt::format("rope.magnitude:{}", injected)),
                                     "rope.magnitude", "cos_sin_factor")) {
    if (candidate.cost == 1.5) {
      found.push_back(number(candidate.parts.front(), "ratio"));
    }
  }
  return found;
}

} // namespace

TEST_CASE("a gain of out is found whatever its size and sign, unless nothing is left",
          "[proposers]") {
  for (const double gain : {-1.0, 1.5e-4, 0.5, 1.0001, 40.0}) {
    const auto found =
        alone(factors_of(tiny(), fmt::format("value.gain:{}", gain)), "value.gain", "gain");
    REQUIRE(found.size() == 1);
    CHECK(number(found[0].parts.front(), "gain") == Approx(gain).epsilon(1e-6));
    CHECK(found[0].cost == 7.0);
    CHECK(found[0].effect == Approx(std::abs(gain - 1.0)).epsilon(1e-2));
    CHECK(found[0].parts.front().evidence.starts_with(fmt::format("out is {:.6g} ± ", gain)));
  }
  for (const double gain : {1.00001, 5e-5}) {
    CHECK(alone(factors_of(tiny(), fmt::format("value.gain:{}", gain)), "value.gain", "gain")
              .empty());
  }
}

TEST_CASE("gains of heads need two of them, one that differs, and something left of each",
          "[proposers]") {
  Settings settings = tiny();
  CHECK(alone(factors_of(settings, "value.gain:heads"), "value.gain", "gains").empty());
  settings.heads = 2;
  const Examined examined(simulate(settings, "value.gain:heads"));
  const auto found = alone(factors_of(examined), "value.gain", "gains");
  REQUIRE(found.size() == 1);
  CHECK(text(found[0].parts.front(), "gains") == "0.5, 1");
  CHECK(found[0].cost == 14.0);
  CHECK(found[0].parts.front().evidence == "out of each head times a number of its own: 0.5, 1");
  auto row = examined.sample.rows[5];
  const auto expected = examined.predictor.predict(examined.context.reference, row).out.front();
  CHECK(found[0].direct(row).out.front() == Approx(0.5 * expected));
  row.head = 2; // of which nothing was fitted
  CHECK(found[0].direct(row).out.front() == Approx(expected));
  CHECK(alone(factors_of(settings, "healthy"), "value.gain", "gains").empty());
  CHECK(alone(factors_of(settings, "value.gain:0.00005"), "value.gain", "gains").empty());
}

TEST_CASE("a gain of the latent moves values and keys, from a tenth to ten times", "[proposers]") {
  for (const double gain : {0.1, 0.3, 0.7, 1.5, 3.0, 6.0, 10.0}) {
    const auto found =
        alone(factors_of(tiny(), fmt::format("latent.gain:{}", gain)), "latent.gain", "gain");
    const auto both = std::find_if(found.begin(), found.end(), [](const auto& candidate) {
      return candidate.parts.front().parameters.size() == 1;
    });
    REQUIRE(both != found.end());
    CHECK(number(both->parts.front(), "gain") == Approx(gain).epsilon(1e-3));
    CHECK(both->cost == Approx(7.2));
    CHECK(both->effect == Approx(std::abs(gain - 1.0)).epsilon(1e-3));
    CHECK(both->mechanism.nope == Approx(gain).epsilon(1e-3));
    CHECK(both->mechanism.rope == 1.0);
    CHECK(both->mechanism.gain == Approx(gain).epsilon(1e-3));
  }
}

TEST_CASE("a gain of the keys' latent is found from lse and from out, from a tenth to ten times",
          "[proposers]") {
  for (const double gain : {0.1, 0.3, 0.7, 1.5, 3.0, 10.0}) {
    const auto found = alone(factors_of(tiny_with_lse(), fmt::format("latent.gain:keys:{}", gain)),
                             "latent.gain", "side");
    REQUIRE(found.size() == 2);
    for (const auto& keys : found) {
      CHECK(number(keys.parts.front(), "gain") == Approx(gain).epsilon(1e-3));
      CHECK(keys.cost == 7.5);
      CHECK(keys.mechanism.nope == Approx(gain).epsilon(1e-3));
      CHECK(keys.mechanism.gain == 1.0);
    }
  }
  CHECK(alone(factors_of(tiny(), "healthy"), "latent.gain", "gain").empty());
}

TEST_CASE("the magnitude of the rope part is found from nothing to ten times", "[proposers]") {
  for (const double ratio : {-1.0, 0.1, 0.4, 1.5, 3.0, 10.0}) {
    const auto found = alone(factors_of(tiny_with_lse(), fmt::format("rope.magnitude:{}", ratio)),
                             "rope.magnitude", "cos_sin_factor");
    REQUIRE(found.size() == 2);
    for (const auto& rope : found) {
      CHECK(number(rope.parts.front(), "ratio") == Approx(ratio).epsilon(1e-3));
      CHECK(number(rope.parts.front(), "cos_sin_factor")
            == Approx(std::sqrt(std::abs(ratio))).epsilon(1e-3));
      CHECK(rope.cost == 7.0);
      CHECK(rope.effect == Approx(std::abs(ratio - 1.0)).epsilon(1e-3));
      CHECK(rope.mechanism.rope == Approx(ratio).epsilon(1e-3));
      CHECK(rope.mechanism.nope == 1.0);
    }
  }
  CHECK(alone(factors_of(tiny(), "healthy"), "rope.magnitude", "ratio").empty());
}

TEST_CASE("mscale squared, its inverse and its square are magnitudes of the rope part by name",
          "[proposers]") {
  for (const double exact : {k_g2, 1.0 / k_g2, k_g2 * k_g2}) {
    for (const double near : {0.996, 1.0, 1.004}) {
      const auto found = exact_ropes(exact * near);
      REQUIRE(found.size() == 1);
      CHECK(found[0] == Approx(exact).epsilon(1e-12));
    }
    CHECK(exact_ropes(exact * 1.006).empty());
    CHECK(exact_ropes(exact * 0.994).empty());
  }
}

TEST_CASE("either part of the logits may be missing", "[proposers]") {
  const auto all = factors_of(tiny(), "healthy");
  const auto rope = with_id(all, "rope.dropped");
  const auto nope = with_id(all, "rope.nope_dropped");
  REQUIRE(rope.size() == 1);
  REQUIRE(nope.size() == 1);
  CHECK(rope[0].cost == 1.0);
  CHECK(rope[0].effect == 1.0);
  CHECK(rope[0].mechanism.nope == 1.0);
  CHECK(rope[0].mechanism.rope == 0.0);
  CHECK(nope[0].cost == 1.0);
  CHECK(nope[0].mechanism.nope == 0.0);
  CHECK(nope[0].mechanism.rope == 1.0);
}

TEST_CASE("a scale goes by a name within 2 % of it, and by its number", "[proposers]") {
  const auto named = [](double ratio) {
    return alone(factors_of(tiny(), fmt::format("scale.other:{}", ratio)), "scale.log2e_missing",
                 "fitted")
        .size();
  };
  CHECK(named(0.681) > 0); // ln 2 = 0.6931
  CHECK(named(0.706) > 0);
  CHECK(named(0.678) == 0);
  CHECK(named(0.709) == 0);
  const auto all = factors_of(tiny_with_lse(), "scale.other:1.3");
  const auto other = alone(all, "scale.other", "fitted");
  REQUIRE(other.size() >= 2);
  for (const auto& candidate : other) {
    CHECK(number(candidate.parts.front(), "ratio") == Approx(1.3).epsilon(1e-4));
    CHECK(candidate.cost == 7.0);
    CHECK(candidate.effect == Approx(0.3).epsilon(1e-4));
    CHECK(candidate.distance == 0.0);
    CHECK(candidate.distance_error
          == Approx(number(candidate.parts.front(), "standard_error")
                    / number(candidate.parts.front(), "fitted")));
  }
  CHECK(other[0].parts.front().evidence.find(" from lse, 1.3 times the expected ")
        != std::string::npos);
  CHECK(other[1].parts.front().evidence.find(" from out, 1.3 times the expected ")
        != std::string::npos);
}

TEST_CASE("the less exact a scale is fitted, the further away a name may be", "[proposers]") {
  Examined examined(simulate(tiny(), "scale.other:0.5"));
  const auto named_ln2 = [&] { // 33 % above what was injected
    return alone(factors_of(examined), "scale.log2e_missing", "fitted").size();
  };
  CHECK(named_ln2() == 0);
  examined.context.scale_bias = 0.05; // six times that of 0.5 are 60 %
  CHECK(named_ln2() > 0);
}

TEST_CASE("a named scale costs more, the more errors it is from what was fitted", "[proposers]") {
  Settings settings = tiny();
  settings.dtype = tensor::Dtype::bf16;
  const Examined examined(simulate(settings, "scale.log2e_missing"));
  std::size_t order = 0;
  for (const auto& candidate : factors_of(examined)) {
    const auto& part = candidate.parts.front();
    if (!part.id.starts_with("scale.") || candidate.parts.size() > 1
        || text(part, "formula").starts_with("no parameter")) {
      continue;
    }
    const double fitted = number(part, "fitted");
    const double distance = std::abs(std::log(number(part, "softmax_scale") / fitted));
    const double errors = distance * fitted / number(part, "standard_error");
    const bool rounded = text(part, "formula").find("rounded") != std::string::npos;
    CHECK(candidate.distance == Approx(distance));
    CHECK(candidate.cost
          == Approx((rounded ? 3.0 : 1.0) + 0.01 * static_cast<double>(order)
                    + 0.1 * errors * errors));
    ++order;
  }
  CHECK(order >= 2);
}

TEST_CASE("what rounding biases the scale of out by is part of its error, or makes lse decide",
          "[proposers]") {
  Examined from_out(simulate(tiny(), "scale.other:1.3"));
  from_out.context.scale_bias = 0.02;
  const auto biased = alone(factors_of(from_out), "scale.other", "fitted");
  REQUIRE_FALSE(biased.empty());
  CHECK(number(biased[0].parts.front(), "standard_error")
        == Approx(0.02 * from_out.context.reference.scale).epsilon(1e-2));
  Examined with_lse(simulate(tiny_with_lse(), "scale.other:1.3"));
  const auto from = [&](const char* source) {
    const auto all = alone(factors_of(with_lse), "scale.other", "fitted");
    return std::count_if(all.begin(), all.end(), [&](const auto& candidate) {
      return candidate.parts.front().evidence.find(source) != std::string::npos;
    });
  };
  CHECK(from("from lse") > 0);
  CHECK(from("from out") > 0);
  with_lse.context.scale_bias = 0.009;
  CHECK(from("from out") > 0);
  with_lse.context.scale_bias = 0.011;
  CHECK(from("from lse") > 0);
  CHECK(from("from out") == 0);
}

TEST_CASE("a scale and the magnitude of the rope part are found together", "[proposers]") {
  const auto all = factors_of(tiny_with_lse(), "scale.other:1.5+rope.magnitude:2");
  const auto found = mixed(all, "scale.other", "rope.magnitude");
  REQUIRE(found.size() >= 2); // from lse and from out
  for (const auto& candidate : found) {
    CHECK(number(candidate.parts[0], "ratio") == Approx(1.5).epsilon(1e-3));
    CHECK(number(candidate.parts[1], "ratio") == Approx(2.0).epsilon(1e-3));
    CHECK(candidate.parts[1].evidence == "rope part of the logits times 2 of the nope part");
    CHECK(candidate.cost == 16.0);
    CHECK(candidate.effect == Approx(0.5).epsilon(1e-3)); // the smaller of 0.5 and 1
  }
  const auto small = mixed(factors_of(tiny(), "scale.other:1.5+rope.magnitude:1.25"), "scale.other",
                           "rope.magnitude");
  REQUIRE_FALSE(small.empty());
  CHECK(small[0].effect == Approx(0.25).epsilon(1e-3));
  CHECK(mixed(factors_of(tiny(), "scale.other:1.5"), "scale.other", "rope.magnitude").empty());
  CHECK(mixed(factors_of(tiny(), "scale.other:1.5+rope.dropped"), "scale.other", "rope.magnitude")
            .empty());
}

TEST_CASE("a scale and a gain are found together, from out alone", "[proposers]") {
  const auto found = mixed(factors_of(tiny_with_lse(), "scale.other:1.5+value.gain:0.8"),
                           "scale.other", "value.gain");
  REQUIRE(found.size() == 1);
  CHECK(number(found[0].parts[0], "ratio") == Approx(1.5).epsilon(1e-3));
  CHECK(number(found[0].parts[1], "gain") == Approx(0.8).epsilon(1e-3));
  CHECK(found[0].parts[1].evidence == "out times 0.8");
  CHECK(found[0].cost == 16.0);
  CHECK(found[0].effect == Approx(0.2).epsilon(1e-3)); // the smaller of 0.5 and 0.2
  CHECK(mixed(factors_of(tiny(), "scale.other:1.5+value.gain:0.00005"), "scale.other", "value.gain")
            .empty());
  CHECK(mixed(factors_of(tiny(), "scale.other:1.5"), "scale.other", "value.gain").empty());
}

TEST_CASE("factors are found where they leave each row one key to see", "[proposers]") {
  Settings settings = tiny();
  settings.queries = 24;
  settings.spread = 3.0;
  const auto rope =
      alone(factors_of(settings, "rope.magnitude:15"), "rope.magnitude", "cos_sin_factor");
  REQUIRE_FALSE(rope.empty());
  CHECK(number(rope[0].parts.front(), "ratio") == Approx(15.0).epsilon(1e-2));
  const auto keys = alone(factors_of(settings, "latent.gain:keys:40"), "latent.gain", "side");
  REQUIRE_FALSE(keys.empty());
  CHECK(number(keys[0].parts.front(), "gain") == Approx(40.0).epsilon(1e-2));
}
