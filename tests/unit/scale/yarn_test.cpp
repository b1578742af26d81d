#include "support/catch.hpp"

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
