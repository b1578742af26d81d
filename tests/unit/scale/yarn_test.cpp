#include "support/catch.hpp"

#include <mla_scale/scale/softmax_scale.hpp>
#include <mla_scale/scale/yarn.hpp>

using namespace mla_scale::scale;

TEST_CASE("the magnitude is 1 up to factor 1 and 0.1 m ln f + 1 above", "[scale]") {
  CHECK(yarn_magnitude(1.0, 1.0) == 1.0);
  CHECK(yarn_magnitude(0.5, 1.0) == 1.0);
  CHECK(yarn_magnitude(40, 0) == 1.0);
  // ln 40 = 3.6888794541139363
  CHECK(yarn_magnitude(40, 1.0) == Approx(1.36888794541139363).epsilon(1e-15));
  CHECK(yarn_magnitude(40, 0.707) == Approx(1.260803777405855).epsilon(1e-15));
}

// transformers 5.17.0 executed: DeepseekV3RotaryEmbedding.inv_freq at 0, 10, 16, 31 (float32).
TEST_CASE("YaRN frequencies agree with transformers", "[scale]") {
  RopeFrequencies rope;
  rope.rotary_dim = 64;
  rope.yarn = true;
  rope.factor = 40;
  const auto v3 = inverse_frequencies(rope);
  REQUIRE(v3.size() == 32);
  CHECK(v3[0] == Approx(1.0).epsilon(1e-6));
  CHECK(v3[10] == Approx(0.05623412877321243).epsilon(1e-6));
  CHECK(v3[16] == Approx(0.005500000435858965).epsilon(1e-6));
  CHECK(v3[31] == Approx(3.3338035336782923e-06).epsilon(1e-6));
  rope.theta = 5000; // the case theta_inside_outside
  CHECK(inverse_frequencies(rope)[16] == Approx(0.00921764224767685).epsilon(1e-6));
  CHECK(inverse_frequencies(rope)[31] == Approx(6.524734089907724e-06).epsilon(1e-6));
  rope.theta = 10000;
  rope.beta_fast = 1; // low and high meet
  CHECK(inverse_frequencies(rope)[16] == Approx(0.009999999776482582).epsilon(1e-6));
  CHECK(inverse_frequencies(rope)[31] == Approx(3.3338035336782923e-06).epsilon(1e-6));
  rope.yarn = false;
  CHECK(inverse_frequencies(rope)[31] == Approx(0.0001333521504420787).epsilon(1e-6));
}

// The formula of transformers' _compute_yarn_parameters evaluated in Python, for a ramp that both
// ends of the head cut off.
TEST_CASE("the ramp starts at the first pair and ends one before the rotated width", "[scale]") {
  RopeFrequencies rope;
  rope.rotary_dim = 64;
  rope.yarn = true;
  rope.factor = 40;
  rope.theta = 10;
  rope.beta_fast = 1000;
  const auto frequencies = inverse_frequencies(rope);
  CHECK(frequencies[1] == Approx(0.9161703307724537).epsilon(1e-14));
  CHECK(frequencies[16] == Approx(0.23792374776504951).epsilon(1e-14));
  CHECK(frequencies[31] == Approx(0.05590519297338282).epsilon(1e-14));
}

// transformers: beta_fast, beta_slow = dict.get("beta_fast") or 32, dict.get("beta_slow") or 1.
TEST_CASE("missing rope keys are what transformers takes for them", "[scale]") {
  mla_scale::model::MlaConfig config;
  config.dims.qk_rope_head_dim.value = 64;
  RopeFrequencies rope = rope_frequencies(config);
  CHECK(rope.beta_fast == 32);
  CHECK(rope.beta_slow == 1);
  CHECK(rope.factor == 1);
  CHECK(rope.theta == 10000);
  CHECK(rope.original_max_position_embeddings == 4096);
  config.rope.beta_fast.value = 0;
  config.rope.beta_slow.value = 0;
  config.dims.max_position_embeddings.value = 8192;
  rope = rope_frequencies(config);
  CHECK(rope.beta_fast == 32);
  CHECK(rope.beta_slow == 1);
  CHECK(rope.original_max_position_embeddings == 8192);
}
