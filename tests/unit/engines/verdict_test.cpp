// What `agrees` calls the same. Expected verdicts: by hand from the documented tolerance, relative
// 1e-9 of the larger number.

#include "engine_support.hpp"

using namespace mla_scale;
using namespace engine_test;

namespace {

const std::string k_v3_config = config("deepseek_v3", yarn(k_equal_keys));

/// vLLM's verdict beside a law that is off by a relative error in one of its numbers.
engines::EngineValue beside(double scale::SoftmaxScale::*number, double error) {
  const model::LoadedModel loaded = model::load_model_text(k_v3_config, "config.json");
  auto law = scale::derive_softmax_scale(*loaded.config());
  REQUIRE(law);
  (*law).*number *= 1 + error;
  return engines::evaluate(*engines::find_engine_rule("vllm"), *loaded.config(), &*law);
}

} // namespace

TEST_CASE("two scales are the same up to 1e-9 of the larger", "[engines]") {
  for (const double size : {1e-3, 0.135, 1.0, 300.0}) {
    INFO(size);
    CHECK(engines::same_scale(size, size * (1 + 0.9e-9)));
    CHECK(engines::same_scale(size * (1 + 0.9e-9), size));
    CHECK_FALSE(engines::same_scale(size, size * (1 + 1.1e-9)));
    CHECK_FALSE(engines::same_scale(size * (1 + 1.1e-9), size));
    CHECK_FALSE(engines::same_scale(size, -size));
  }
  CHECK(engines::same_scale(0, 0));
  CHECK_FALSE(engines::same_scale(0, 1e-300));
}

TEST_CASE("the tolerance itself is still the same, of the larger number and not the smaller",
          "[engines]") {
  CHECK(engines::same_scale(1, 2, 0.5));
  CHECK(engines::same_scale(2, 1, 0.5));
  CHECK_FALSE(engines::same_scale(1, 2, 0.499));
  CHECK_FALSE(engines::same_scale(-1, -2, 0.499));
}

TEST_CASE("prefill and decode each have to agree, within the tolerance", "[engines]") {
  for (auto number : {&scale::SoftmaxScale::prefill, &scale::SoftmaxScale::decode}) {
    CHECK(beside(number, 0.5e-9).agrees == true);
    CHECK(beside(number, 2e-9).agrees == false);
    CHECK(beside(number, -2e-9).agrees == false);
  }
  CHECK(beside(&scale::SoftmaxScale::prefill, 2e-9).because.starts_with("prefill: "));
  CHECK(beside(&scale::SoftmaxScale::decode, 2e-9).because.starts_with("decode: "));
}

TEST_CASE("a factor of cos and sin that differs is enough to disagree", "[engines]") {
  const model::LoadedModel loaded = model::load_model_text(k_v3_config, "config.json");
  auto law = scale::derive_softmax_scale(*loaded.config());
  REQUIRE(law);
  const engines::EngineRule& rule = *engines::find_engine_rule("vllm");
  law->cos_sin_factor = 1 + 0.5e-9;
  CHECK(engines::evaluate(rule, *loaded.config(), &*law).agrees == true);
  law->cos_sin_factor = 1.25;
  const engines::EngineValue value = engines::evaluate(rule, *loaded.config(), &*law);
  CHECK(value.agrees == false);
  CHECK(value.because.starts_with("multiplies cos and sin by 1, not 1.25"));
  law->cos_sin_factor.reset(); // nothing to compare with
  CHECK(engines::evaluate(rule, *loaded.config(), &*law).agrees == true);
}

TEST_CASE("a measured scale is matched within the tolerance that the caller gives", "[engines]") {
  const model::LoadedModel loaded = model::load_model_text(k_v3_config, "config.json");
  const auto law = scale::derive_softmax_scale(*loaded.config());
  const auto found = [&](double scale, double tolerance) {
    const auto matches = engines::rules_giving(scale, *loaded.config(), &*law, tolerance);
    return std::any_of(matches.begin(), matches.end(), [](const engines::ScaleMatch& match) {
      return match.rule->id == "vllm" && match.prefill && match.decode && match.agrees;
    });
  };
  CHECK(found(0.1352337788608801 * 1.009, 0.01));
  CHECK_FALSE(found(0.1352337788608801 * 1.011, 0.01));
}
