#include <mla_scale/diagnose/scale_candidates.hpp>

#include <cmath>
#include <map>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// Closed forms by hand, from what the identifiers mean.

using namespace mla_scale;
using diagnose::Expectation;

namespace {

/// 16 = 12 + 4 columns of q and k, v of 9, latent 252: 256 with the rope part.
Expectation expectation_of(double mscale) {
  Expectation expectation;
  expectation.geometry = {2, 252, 12, 4, 9};
  expectation.mscale = mscale;
  expectation.softmax_scale = 0.25 * mscale * mscale;
  return expectation;
}

std::vector<std::string> forms_near(const Expectation& expectation, double scale, double window) {
  std::vector<std::string> forms;
  for (const auto& candidate : diagnose::closed_forms_near(expectation, scale, window)) {
    forms.push_back(candidate.formula);
  }
  return forms;
}

} // namespace

TEST_CASE("every wrong scale of a model with mscale, each by its own formula", "[parts]") {
  auto expectation = expectation_of(1.25);
  expectation.mscale_other_key = 1.5;
  const double g2 = 1.5625;
  const double latent = 1.0 / 16.0;
  const double expected = 0.25 * g2;
  const std::vector<std::pair<std::string, double>> by_hand = {
      {"scale.latent_width", latent},
      {"scale.latent_width_mscale", latent * g2},
      {"scale.mscale_omitted", 0.25},
      {"scale.mscale_once", 0.3125},
      {"scale.mscale_twice", 0.25 * g2 * g2},
      {"scale.mscale_inverse", 0.16},
      {"scale.mscale_wrong_key", 0.5625},
      {"scale.nope_width", g2 / std::sqrt(12.0)},
      {"scale.nope_width_plain", 1.0 / std::sqrt(12.0)},
      {"scale.v_width", g2 / 3.0},
      {"scale.kv_lora_width", 1.0 / std::sqrt(252.0)},
      {"scale.rope_width", 0.5},
      {"scale.padded_width", 0.25},
      {"scale.log2e_missing", expected * std::log(2.0)},
      {"scale.log2e_twice", expected / std::log(2.0)},
      {"scale.unit", 1.0},
      {"scale.squared", expected * expected},
      {"scale.v_width", 1.0 / 3.0},
      {"scale.kv_lora_width", g2 / std::sqrt(252.0)},
      {"scale.rope_width", 0.5 * g2},
      {"scale.squared", g2 / 16.0},
      {"scale.squared", 1.0 / 16.0}};
  const auto found = diagnose::scale_candidates(expectation);
  REQUIRE(found.size() == by_hand.size());
  for (std::size_t at = 0; at < found.size(); ++at) {
    INFO(at << ": " << found[at].id);
    CHECK(found[at].id == by_hand[at].first);
    CHECK(found[at].value == Approx(by_hand[at].second).epsilon(1e-12));
  }
}

TEST_CASE("without mscale the bugs of mscale are not there, and 16 is its own power of two",
          "[parts]") {
  std::vector<std::string> ids;
  for (const auto& candidate : diagnose::scale_candidates(expectation_of(1.0))) {
    ids.push_back(candidate.id);
  }
  CHECK(ids
        == std::vector<std::string>{"scale.latent_width", "scale.nope_width", "scale.v_width",
                                    "scale.kv_lora_width", "scale.rope_width",
                                    "scale.log2e_missing", "scale.log2e_twice", "scale.unit",
                                    "scale.squared"});
}

TEST_CASE("the power of two above 17 columns is 32", "[parts]") {
  auto expectation = expectation_of(1.0);
  expectation.geometry.qk_nope_head_dim = 13;
  expectation.softmax_scale = 1.0 / std::sqrt(17.0);
  double padded = 0.0;
  for (const auto& candidate : diagnose::scale_candidates(expectation)) {
    padded = candidate.id == "scale.padded_width" ? candidate.value : padded;
  }
  CHECK(padded == Approx(1.0 / std::sqrt(32.0)));
}

TEST_CASE("a width that the model does not have gives no scale", "[parts]") {
  auto expectation = expectation_of(1.0);
  expectation.geometry.v_head_dim = 0;
  for (const auto& candidate : diagnose::scale_candidates(expectation)) {
    CHECK(candidate.id != "scale.v_width");
  }
}

TEST_CASE("a closed form is called by the simplest of its names first", "[parts]") {
  const auto expectation = expectation_of(1.0);
  CHECK(forms_near(expectation, 0.25, 1e-9)
        == std::vector<std::string>{"16^-1/2", "4^-1/2 · 2^-1", "256^-1/2 · 2^2"});
  CHECK(forms_near(expectation, 4.0 / 3.0, 1e-9) == std::vector<std::string>{"9^-1/2 · 2^2"});
  CHECK(forms_near(expectation, 0.25 / std::log(2.0), 1e-9).front() == "16^-1/2 · log2 e");
  CHECK(forms_near(expectation, 0.25 * std::log(2.0), 1e-9).front() == "16^-1/2 · ln 2");
  // Powers of two from 2^-4 to 2^4.
  CHECK(forms_near(expectation, 16.0 / 3.0, 1e-9) == std::vector<std::string>{"9^-1/2 · 2^4"});
  CHECK(forms_near(expectation, 1.0 / 48.0, 1e-9) == std::vector<std::string>{"9^-1/2 · 2^-4"});
  CHECK(forms_near(expectation, 32.0 / 3.0, 1e-9).empty());
  CHECK(forms_near(expectation, 1.0 / 96.0, 1e-9).empty());
}

TEST_CASE("powers of mscale go from -4 to 4", "[parts]") {
  const auto expectation = expectation_of(1.25);
  for (const int power : {-4, -1, 1, 4}) {
    CHECK(forms_near(expectation, std::pow(1.25, power) / 3.0, 1e-9).front()
          == "9^-1/2 · mscale^" + std::to_string(power));
  }
  for (const int power : {-5, 5}) {
    CHECK(forms_near(expectation, std::pow(1.25, power) / 3.0, 1e-9).empty());
  }
}

TEST_CASE("a closed form is near within the window, on either side", "[parts]") {
  const auto expectation = expectation_of(1.0);
  for (const double sign : {-1.0, 1.0}) {
    CHECK(forms_near(expectation, (1.0 + sign * 0.9e-4) / 3.0, 1e-4).size() == 1);
    CHECK(forms_near(expectation, (1.0 + sign * 1.1e-4) / 3.0, 1e-4).empty());
  }
}

TEST_CASE("scales that a kernel takes as bf16 are those with eight bits, as float16 with eleven",
          "[parts]") {
  auto expectation = expectation_of(1.0);
  expectation.softmax_scale = 1.0 + 1.0 / 512 + 1.0 / 4096; // between numbers of both
  std::map<std::string, double> rounded;
  for (const auto& candidate : diagnose::rounded_scale_candidates(expectation)) {
    if (candidate.id == "scale.other") {
      rounded[candidate.formula] = candidate.value;
    }
  }
  CHECK(rounded
        == std::map<std::string, double>{{"expected, rounded to bf16", 1.0},
                                         {"expected, rounded to float16", 1.0 + 2.0 / 1024}});
}

TEST_CASE("a scale that rounding makes the expected one is no other", "[parts]") {
  auto expectation = expectation_of(1.0);
  expectation.softmax_scale = 148.0 / 512; // 12^-1/2 = 147.8 / 512 in bf16
  std::vector<std::string> of_nope;
  for (const auto& candidate : diagnose::rounded_scale_candidates(expectation)) {
    if (candidate.id == "scale.nope_width") {
      of_nope.push_back(candidate.formula);
    }
  }
  CHECK(of_nope == std::vector<std::string>{"12^-1/2, rounded to float16"});
}

TEST_CASE("the scale before mscale is the expectation's, or from the width of q", "[parts]") {
  auto expectation = expectation_of(1.25);
  CHECK(diagnose::base_scale(expectation) == 0.25);
  expectation.base = 0.125;
  CHECK(diagnose::base_scale(expectation) == 0.125);
}
