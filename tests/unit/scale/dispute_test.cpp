#include "derive.hpp"
#include "support/catch.hpp"

#include <vector>

using namespace mla_scale;

// The two values of each dispute: 192^-1/2, and 192^-1/2 * (1 + 0.1 ln 40)^2 (DeepSeek-V3's own,
// transformers executed).
TEST_CASE("a switch that only some engines know is disputed, and the key is named", "[scale]") {
  const auto scale = derive(
      "deepseek_v3", yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0, "apply_yarn_scaling": false)"));
  REQUIRE(scale);
  REQUIRE(scale->disputed);
  CHECK(scale->deciding_key == "/rope_scaling/apply_yarn_scaling");
  REQUIRE(scale->alternatives.size() == 2);
  CHECK(scale->alternatives[0].value == Approx(0.07216878364870322).epsilon(1e-15));
  CHECK(scale->alternatives[1].value == Approx(0.1352337788608801).epsilon(1e-15));
}

TEST_CASE("attention_factor 1 beside mscale_all_dim is disputed", "[scale]") {
  const auto scale = derive(
      "deepseek_v3", yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0, "attention_factor": 1.0)"));
  REQUIRE(scale);
  REQUIRE(scale->disputed);
  CHECK(scale->deciding_key == "/rope_scaling/attention_factor");
  REQUIRE(scale->alternatives.size() == 2);
  CHECK(scale->alternatives[0].value == Approx(0.1352337788608801).epsilon(1e-15));
  CHECK(scale->alternatives[1].value == Approx(0.07216878364870322).epsilon(1e-15));
}

TEST_CASE("a switch that switches nothing is not disputed", "[scale]") {
  const std::vector<std::string> harmless = {
      yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0)"),
      yarn(R"("mscale": 1.0, "apply_yarn_scaling": false)"),
      yarn(R"("attention_factor": 1.0)"),
      yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0, "attention_factor": 2.0)"),
      std::string(
          R"("rope_scaling": {"type": "yarn", "factor": 1.0, "mscale_all_dim": 1.0, "apply_yarn_scaling": false})"),
      std::string(
          R"("rope_parameters": {"rope_type": "default", "factor": 40, "mscale_all_dim": 1.0, "apply_yarn_scaling": false})")};
  for (const std::string& rope : harmless) {
    INFO(rope);
    const auto scale = derive("deepseek_v3", rope);
    REQUIRE(scale);
    CHECK(!scale->disputed);
  }
}

TEST_CASE("a Mistral config without mscale_all_dim is disputed with weight 1", "[scale]") {
  const auto scale = derive("mistral4", yarn(""));
  REQUIRE(scale);
  REQUIRE(scale->disputed);
  CHECK(scale->deciding_key == "/rope_scaling/apply_yarn_scaling");
  REQUIRE(scale->alternatives.size() == 2);
  CHECK(scale->alternatives[1].value == Approx(0.1352337788608801).epsilon(1e-15));
}

TEST_CASE("a factor of little more than 1 is disputed as any", "[scale]") {
  const auto scale = derive("deepseek_v3", R"("rope_scaling": {"type": "yarn", "factor": 1.5,
      "mscale_all_dim": 1.0, "apply_yarn_scaling": false})");
  REQUIRE(scale);
  REQUIRE(scale->disputed);
  REQUIRE(scale->alternatives.size() == 2);
  CHECK(scale->alternatives[1].value
        == Approx(0.07813981527195386).epsilon(1e-15)); // 192^-1/2 (1 + 0.1 ln 1.5)^2
}

TEST_CASE("a switch that is on means weight 1 in a Mistral config, and nothing in others",
          "[scale]") {
  const std::string on = yarn(R"("apply_yarn_scaling": true)");
  const auto mistral = derive("mistral4", on);
  REQUIRE(mistral);
  CHECK_FALSE(mistral->disputed);
  CHECK(mistral->prefill == Approx(0.1352337788608801).epsilon(1e-15));
  CHECK(derive("deepseek_v3", on)->prefill == Approx(0.07216878364870322).epsilon(1e-15));
}
