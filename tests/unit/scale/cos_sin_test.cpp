#include "derive.hpp"
#include "support/catch.hpp"

using namespace mla_scale;

namespace {

double cos_sin_factor(const std::string& rope) {
  const auto scale = derive("deepseek_v3", rope);
  REQUIRE(scale);
  REQUIRE(scale->cos_sin_factor);
  return *scale->cos_sin_factor;
}

} // namespace

// vllm telechat3_scaling_rope.py: 1 up to factor 1, else 0.07 ln(factor) + 1, evaluated in Python.
TEST_CASE("the YaRN of TeleChat3 grows by 0.07 for each e-fold", "[scale]") {
  const auto of = [](const std::string& factor) {
    return cos_sin_factor(
        R"("rope_scaling": {"type": "telechat3-yarn", "original_max_position_embeddings": 4096,
        "factor": )"
        + factor + "}");
  };
  CHECK(of("40") == Approx(1.2582215617879755).epsilon(1e-15));
  CHECK(of("1.5") == Approx(1.0283825575675716).epsilon(1e-15));
  CHECK(of("1") == 1.0);
  CHECK(of("0.5") == 1.0);
}

// transformers _compute_longrope_parameters: sqrt(1 + ln(factor) / ln(original)), evaluated in
// Python for max_position_embeddings 163840 over 40960.
TEST_CASE("longrope's factor follows from how far the positions were extended", "[scale]") {
  for (const std::string type : {"longrope", "su"}) {
    INFO(type);
    const auto of = [&](const std::string& more) {
      return cos_sin_factor(R"("rope_scaling": {"type": ")" + type + "\", " + more + "}");
    };
    CHECK(of(R"("original_max_position_embeddings": 40960)")
          == Approx(1.0632647247109213).epsilon(1e-15));
    CHECK(of(R"("original_max_position_embeddings": 163840)") == 1.0);
    CHECK(of(R"("original_max_position_embeddings": 40960, "attention_factor": 1.25)") == 1.25);
    // A factor of its own, however little it extends; none without an original length.
    CHECK(of(R"("original_max_position_embeddings": 4096, "factor": 1.5)")
          == Approx(1.0240834316890868).epsilon(1e-15));
    CHECK(of(R"("original_max_position_embeddings": 1, "factor": 1.5)") == 1.0);
  }
}

TEST_CASE("other rope types leave cos and sin as they are", "[scale]") {
  CHECK(cos_sin_factor(R"("rope_scaling": {"type": "linear", "factor": 4.0})") == 1.0);
  CHECK(cos_sin_factor(R"("rope_scaling": {"type": "dynamic", "factor": 4.0})") == 1.0);
  CHECK(cos_sin_factor("") == 1.0);
}
