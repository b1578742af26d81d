#include "derive.hpp"
#include "support/catch.hpp"

#include <mla_scale/model/load.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

using namespace mla_scale;
using scale::SoftmaxScale;

// Expected values: transformers 5.17.0, DeepseekV3Attention(config).scaling, executed.
TEST_CASE("the law agrees with transformers wherever it applies mscale_all_dim", "[scale]") {
  const auto prefill = [](const std::string& rope) { return derive("deepseek_v3", rope)->prefill; };
  CHECK(prefill(yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0)"))
        == Approx(0.1352337788608801).epsilon(1e-15));
  CHECK(prefill(yarn(R"("mscale": 1.0, "mscale_all_dim": 0.707)"))
        == Approx(0.1147213867929261).epsilon(1e-15));
  CHECK(prefill(yarn(R"("mscale": 0.707)")) == Approx(0.07216878364870322).epsilon(1e-15));
  CHECK(prefill(yarn(R"("mscale": 0, "mscale_all_dim": 0)"))
        == Approx(0.07216878364870322).epsilon(1e-15));
  CHECK(prefill(yarn("")) == Approx(0.07216878364870322).epsilon(1e-15));
  CHECK(prefill(R"("rope_scaling": {"type": "linear", "factor": 4.0, "mscale_all_dim": 1.0})")
        == Approx(0.09356516759751214).epsilon(1e-15));
  CHECK(prefill(R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "mscale_all_dim": 1.0})")
        == Approx(0.10530357086036152).epsilon(1e-15));
  CHECK(
      prefill(R"("rope_parameters": {"rope_type": "default", "factor": 40, "mscale_all_dim": 1.0})")
      == Approx(0.07216878364870322).epsilon(1e-15));
  CHECK(prefill(R"("rope_scaling": {"type": "yarn", "factor": 1.0, "mscale_all_dim": 1.0})")
        == Approx(0.07216878364870322).epsilon(1e-15));
  CHECK(prefill("") == Approx(0.07216878364870322).epsilon(1e-15));
  // by hand: 192^-1/2 * (1 + 0.1 ln 1.5)^2
  CHECK(prefill(R"("rope_scaling": {"type": "yarn", "factor": 1.5, "mscale_all_dim": 1.0})")
        == Approx(0.07813981527195385).epsilon(1e-15));
}

TEST_CASE("decode has the scale of prefill, whatever the latent width", "[scale]") {
  const auto scale = derive("deepseek_v3", yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0)"));
  CHECK(scale->decode == scale->prefill);
  CHECK(scale->base == Approx(0.07216878364870322).epsilon(1e-15));
  CHECK(scale->mscale == Approx(1.3688879454113936).epsilon(1e-15));
}

TEST_CASE("the cos/sin factor is the ratio of magnitudes unless attention_factor is given",
          "[scale]") {
  const auto factor = [](const std::string& more) {
    return *derive("deepseek_v3", yarn(more))->cos_sin_factor;
  };
  CHECK(factor(R"("mscale": 1.0, "mscale_all_dim": 1.0)") == 1.0);
  // transformers 5.17.0 executed
  CHECK(factor(R"("mscale": 1.0, "mscale_all_dim": 0.707)")
        == Approx(1.0857263992561355).epsilon(1e-15));
  CHECK(factor("") == Approx(1.3688879454113936).epsilon(1e-15));
  CHECK(factor(R"("mscale": 1.0, "mscale_all_dim": 0.707, "attention_factor": 2.0)") == 2.0);
  // the remote code of V3 and vLLM's DeepseekScalingRotaryEmbedding, facts: transformers.md section
  // 3
  CHECK(factor(R"("mscale": 0.707)") == Approx(1.260803777405855).epsilon(1e-14));
  CHECK(factor(R"("mscale_all_dim": 0.707)") == Approx(1.0857263992561355).epsilon(1e-14));
}

TEST_CASE("a missing or null factor is an error where it is needed, with its place", "[scale]") {
  const auto missing =
      derive("deepseek_v3", R"("rope_scaling": {"type": "yarn", "mscale_all_dim": 1.0})");
  REQUIRE(!missing);
  CHECK(missing.error().kind == ErrorKind::schema);
  CHECK(missing.error().pointer == "/rope_scaling/factor");
  CHECK(missing.error().position.line > 0);
  // derive() puts the dictionary on line 3; a null is pointed at itself.
  const auto null =
      derive("deepseek_v3", "\"rope_scaling\": {\"type\": \"yarn\",\n\"factor\": null}");
  REQUIRE(!null);
  CHECK(null.error().position.line == 4);
  CHECK(null.error().pointer == "/rope_scaling/factor");
  CHECK(derive(
      "minicpm3",
      R"("rope_scaling": {"type": "longrope", "original_max_position_embeddings": 163840})"));
}

TEST_CASE("an unknown rope type is refused with a suggestion", "[scale]") {
  const auto unknown = derive("deepseek_v3", R"("rope_scaling": {"type": "yarrn", "factor": 40})");
  REQUIRE(!unknown);
  CHECK(unknown.error().message == "rope type \"yarrn\" is not known; did you mean \"yarn\"?");
}

TEST_CASE("families that never apply mscale do not, whatever the config says", "[scale]") {
  for (const std::string family :
       {"minicpm3", "bailing_hybrid", "pangu_ultra_moe", "hy_v4", "kimi_linear", "plm"}) {
    INFO(family);
    CHECK(derive(family, yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0)"))->prefill
          == Approx(0.07216878364870322).epsilon(1e-15));
  }
}

TEST_CASE("Mistral's scale is disputed, and both numbers are there", "[scale]") {
  const model::LoadedModel model = model::load_model(
      {"m", std::string(TESTDATA) + "/zoo/mistralai--Mistral-Small-4-119B-2603/config.json"});
  const auto scale = scale::derive_softmax_scale(*model.config());
  REQUIRE(scale);
  REQUIRE(scale->disputed);
  REQUIRE(scale->alternatives.size() == 2);
  // SGLang #26203's pair
  CHECK(scale->alternatives[0].value == Approx(0.088388347648).epsilon(1e-11));
  CHECK(scale->alternatives[1].value == Approx(0.194969494733).epsilon(1e-11));
}

TEST_CASE("keys that give no positive, finite scale are an error at the weight", "[scale]") {
  // by hand: g = 1 + 0.1 ln(40) m is 0 or less from m = -2.71 on; 10^308 overflows when squared
  for (const char* keys : {R"("mscale": 1.0, "mscale_all_dim": -3)", R"("mscale_all_dim": 1e308)",
                           R"("mscale": -3, "mscale_all_dim": 1.0)"}) {
    INFO(keys);
    const auto scale = derive("deepseek_v3", yarn(keys));
    REQUIRE(!scale);
    CHECK(scale.error().pointer == "/rope_scaling/mscale_all_dim");
  }
}

TEST_CASE("every step of a derivation has a value or a reason", "[scale]") {
  const auto scale = derive("deepseek_v3", yarn(R"("mscale": 1.0, "mscale_all_dim": 1.0)"));
  CHECK(scale->derivation.size() >= 8);
  for (const scale::Step& step : scale->derivation) {
    INFO(step.step);
    const bool from_file =
        step.origin.kind == model::Origin::Kind::read && step.origin.position.line > 0;
    CHECK((from_file || !step.origin.reason.empty()));
    CHECK(!step.formula.empty());
  }
}
