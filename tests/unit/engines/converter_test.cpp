// What llama.cpp and its kin make of a config.json that is converted to GGUF. Expected values: the
// closed forms of kq_scale in deepseek2.cpp and llama-context.cpp, evaluated in Python for factor
// 40 and width 192.

#include "engine_support.hpp"

#include <fmt/format.h>

using namespace mla_scale;
using namespace engine_test;

namespace {

std::string scaled(const std::string& model, const std::string& type, const std::string& factor,
                   const std::string& more = "") {
  return config(model, fmt::format(R"("rope_scaling": {{"type": "{}", "factor": {}, )"
                                   R"("original_max_position_embeddings": 4096{}}})",
                                   type, factor, more));
}

std::string all_dim(const std::string& value) {
  return R"(, "mscale": 1.0, "mscale_all_dim": )" + value;
}

struct Row {
  std::string_view id;
  double scale = 0;
  double cos_sin = 1;
};

void check_rows(const std::string& json, std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO(row.id);
    const engines::EngineValue value = evaluate(json, row.id);
    INFO(value.error);
    REQUIRE(value.prefill);
    CHECK(*value.prefill == Approx(row.scale).epsilon(1e-12));
    CHECK(*value.decode == *value.prefill);
    REQUIRE(value.cos_sin_factor);
    CHECK(*value.cos_sin_factor == Approx(row.cos_sin).epsilon(1e-12));
  }
}

} // namespace

TEST_CASE("with a multiplier deepseek2 is right in every era, and cos and sin are 1", "[engines]") {
  check_rows(scaled("deepseek_v3", "yarn", "40", all_dim("0.707")),
             {{"llama.cpp", k_v2},
              {"llama.cpp@17945", k_v2},
              {"llama.cpp@7519", k_v2},
              {"ik-llama.cpp", k_v2},
              {"ollama", 0.06623442354670306}}); // over sqrt(576), the key_length of the layout
}

TEST_CASE("without a multiplier yarn alone makes the square since #18006", "[engines]") {
  check_rows(scaled("deepseek_v3", "yarn", "40"), {{"llama.cpp", k_v3, k_magnitude},
                                                   {"llama.cpp@17945", k_plain},
                                                   {"llama.cpp@7519", k_plain},
                                                   {"ik-llama.cpp", k_plain}});
}

TEST_CASE("every architecture but deepseek2 takes mscale for 1", "[engines]") {
  // g(40, 1) / g(40, 0.5) is left on cos and sin, and its square completes that of g(40, 0.5).
  for (const std::string model : {"deepseek_v32", "mistral4"}) {
    INFO(model);
    check_rows(scaled(model, "yarn", "40", all_dim("0.5")),
               {{"llama.cpp", k_v3, 1.1557219901962608},
                {"llama.cpp@17945", k_v3, 1.1557219901962608},
                {"llama.cpp@7519", 0.10124612961325218}});
  }
}

TEST_CASE("glm-dsa does not read the multiplier", "[engines]") {
  check_rows(scaled("glm_moe_dsa", "yarn", "40", all_dim("0.5")), {{"llama.cpp", k_v3, k_magnitude},
                                                                   {"llama.cpp@17945", k_plain},
                                                                   {"llama.cpp@7519", k_plain}});
}

TEST_CASE("a linear factor multiplies kq_scale once more since #18006, and cos and sin never",
          "[engines]") {
  check_rows(
      scaled("deepseek_v3", "linear", "40", all_dim("0.707")),
      {{"llama.cpp", 0.21497115328542502}, {"llama.cpp@17945", k_v2}, {"llama.cpp@7519", k_v2}});
  check_rows(scaled("deepseek_v3", "linear", "40"),
             {{"llama.cpp", k_v3}, {"llama.cpp@17945", k_plain}});
}

TEST_CASE("llama.cpp takes the logarithm of a factor below 1 too", "[engines]") {
  const std::string half = scaled("deepseek_v3", "yarn", "0.5", all_dim("1.0"));
  check_rows(half, {{"llama.cpp", 0.06251080296274365},
                    {"llama.cpp@17945", 0.06251080296274365},
                    {"llama.cpp@7519", 0.06251080296274365}});
  CHECK(evaluate(half, "llama.cpp").because == "takes the logarithm of a factor below 1 too");
  CHECK(evaluate(half, "llama.cpp@7519").because
        == "applies yarn_log_multiplier 0.1, to a factor below 1 too");
  // Of a factor just above 1 it is as good as any, and only the quotient of g is left to tell.
  const std::string above = scaled("mistral4", "yarn", "1.5", all_dim("0.5"));
  CHECK(evaluate(above, "llama.cpp").because
        == "multiplies by (g(factor, 1) / g(factor, 0.5))^2 too, as for every architecture but "
           "deepseek2");
  const std::string one = scaled("deepseek_v3", "yarn", "1", all_dim("1.0"));
  check_rows(one, {{"llama.cpp", k_plain}, {"llama.cpp@7519", k_plain}});
  CHECK(evaluate(one, "llama.cpp").because.empty());
}

TEST_CASE("rope type default has no scaling to convert, with a factor neither", "[engines]") {
  for (const std::string& json :
       {scaled("deepseek_v3", "default", "40", all_dim("1.0")), config("deepseek_v3", "")}) {
    check_rows(json, {{"llama.cpp", k_plain}, {"llama.cpp@17945", k_plain}});
    CHECK(evaluate(json, "llama.cpp").because.empty());
    // log(0) * 0, since the Go engine takes a missing factor for 0
    CHECK(evaluate(json, "ollama").error == "NaN: 0 * ln(0)");
  }
}

TEST_CASE("the converter indexes the factor of yarn and linear", "[engines]") {
  for (const std::string type : {"yarn", "linear"}) {
    for (const std::string_view id :
         {"llama.cpp", "llama.cpp@17945", "llama.cpp@7519", "ik-llama.cpp", "ollama"}) {
      INFO(type << " " << id);
      const engines::EngineValue value =
          evaluate(config("deepseek_v3", R"("rope_scaling": {"type": ")" + type + R"("})"), id);
      CHECK(value.error == "KeyError: 'factor'");
      CHECK_FALSE(value.prefill);
    }
  }
}

// ollama/ollama#13893: 576^-1/2 for one version. 192 is the width of these configs.
TEST_CASE("Ollama's glm4moelite took the latent width for one version", "[engines]") {
  const std::string json = config("glm4_moe_lite", "");
  check(json, {{"ollama", k_plain}, {"ollama@0.15.0", 0.041666666666666664}});
}
