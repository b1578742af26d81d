#include "support/catch.hpp"

#include <mla_scale/tensor/capture.hpp>

using namespace mla_scale;
using namespace mla_scale::tensor;

namespace {

// Real H100 captures, outside the repository; the tests pass over them where they are not.
const std::filesystem::path k_dumps =
    (std::filesystem::path(TESTDATA) / "../../shared/dumps").lexically_normal();

constexpr Geometry k_v2_lite = {16, 512, 128, 64, 128};
constexpr Geometry k_v3 = {128, 512, 128, 64, 128};

} // namespace

TEST_CASE("A real H100 capture of one tensor-parallel rank is read in canonical orientation") {
  if (!std::filesystem::exists(k_dumps)) {
    return;
  }
  const auto capture = read_capture({k_dumps / "v3_bf16_p96_s2.inputs.safetensors",
                                     k_dumps / "v3_bf16_p96_s2.healthy.eager.safetensors"},
                                    k_v3);
  REQUIRE(capture.has_value());
  CHECK(capture->heads == 8);
  CHECK(capture->query_rows == 160);
  CHECK(capture->key_rows == 256);
  CHECK(capture->level == "expanded+latent");
  CHECK(capture->layout == "[T,H,D]");
  CHECK(capture->missing.empty());
  CHECK(capture->notes.empty());
  REQUIRE(capture->sequences.size() == 1);
  CHECK(capture->positions_q.front() == 96);
  // The expanded keys are what kv_b_proj makes of the latent, to bf16 rounding.
  double error = 0;
  double norm = 0;
  for (std::int64_t p = 0; p < 128; ++p) {
    double sum = 0;
    for (std::int64_t l = 0; l < 512; ++l) {
      sum += capture->w_uk->at(p, 5, l) * capture->kv_c->at(17, 0, l);
    }
    const double k = capture->k->at(17, 5, p);
    error += (sum - k) * (sum - k);
    norm += k * k;
  }
  CHECK(error < 1e-4 * norm);
  CHECK(capture->k->at(17, 5, 128 + 9) == capture->k_pe->at(17, 0, 9));
}

TEST_CASE("V2-Lite captures of all kernels are read") {
  if (!std::filesystem::exists(k_dumps)) {
    return;
  }
  for (const char* kernel : {"flash", "cudnn", "efficient", "eager"}) {
    const auto capture = read_capture(
        {k_dumps / "v2lite_bf16_p0_s1.inputs.safetensors",
         k_dumps / (std::string("v2lite_bf16_p0_s1.healthy.") + kernel + ".safetensors")},
        k_v2_lite);
    REQUIRE(capture.has_value());
    CHECK(capture->heads == 4);
    REQUIRE(capture->lse.has_value());
    CHECK(capture->lse->tokens == 192);
    CHECK(effective_dtype(*capture->lse) == Dtype::f32);
  }
}
