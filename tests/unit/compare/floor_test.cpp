// Floors of rows of one or two keys, worked out by hand. Softmax of logits 0 and -d: weights 1 and
// exp(-d) over their sum.
#include "support/catch.hpp"
#include "support/kernel.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/floor.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;
using tensor::Dtype;

namespace {

constexpr ComputeDtypes k_exact_output_of_bf16 = {Dtype::bf16, Dtype::f64};
constexpr ComputeDtypes k_exact_output_of_f32 = {Dtype::f32, Dtype::f64};
constexpr double k_sum_noise = 0x1p-21;

/// One head whose queries are all (1, 1), so that the two columns of a key are its logit's two
/// parts; all rows see all keys.
reference::Problem logits_and_values(const std::vector<double>& keys,
                                     const std::vector<double>& values, std::int64_t v_width,
                                     std::int64_t rows = 1) {
  const std::int64_t key_count = std::ssize(keys) / 2;
  reference::Problem problem;
  problem.q =
      tensors::view(std::vector<double>(static_cast<std::size_t>(2 * rows), 1.0), rows, 1, 2);
  problem.k = tensors::view(keys, key_count, 1, 2);
  problem.v = tensors::view(values, key_count, 1, v_width);
  problem.sequences = {{0, rows, 0, key_count}};
  problem.qk_rope_head_dim = 1;
  problem.softmax_scale = 1.0;
  problem.causal = false;
  problem.threads = 1;
  return problem;
}

/// A latent of rank 1: k_nope = w_uk · c, v = w_uv · c.
reference::Problem latent_of_rank_one(reference::Form form, const std::vector<double>& latent,
                                      double q_nope, double w_uk, double w_uv) {
  reference::Problem problem;
  const std::int64_t keys = std::ssize(latent);
  problem.q = tensors::view({q_nope, 1.0}, 1, 1, 2);
  problem.kv_c = tensors::view(latent, keys, 1, 1);
  problem.k_pe = tensors::view(std::vector<double>(latent.size(), 0.5), keys, 1, 1);
  problem.w_uk = tensors::view({w_uk}, 1, 1, 1);
  problem.w_uv = tensors::view({w_uv}, 1, 1, 1);
  problem.sequences = {{0, 1, 0, keys}};
  problem.qk_rope_head_dim = 1;
  problem.form = form;
  problem.softmax_scale = 1.0;
  problem.threads = 1;
  return problem;
}

std::vector<RowFloor> floors_of(const reference::Problem& problem, Level level,
                                const ComputeDtypes& dtypes) {
  return simulate_floors(problem, sample_logits(problem, sample_rows(problem, 100)), {level},
                         dtypes)
      .front();
}

} // namespace

TEST_CASE("the floor of an exact kernel is the noise of float32 sums", "[floor]") {
  // Logits 1.5 + 2 and 0.5 - 1; |out|² = 0.02 is less than 1.
  const auto problem = logits_and_values({1.5, 2.0, 0.5, -1.0}, {0.125, 0.0625, 0.125, 0.0625}, 2);
  const auto floors = floors_of(problem, Level::exact, k_exact_output_of_f32);
  REQUIRE(floors.size() == 1);
  CHECK(floors[0].out == Approx(k_sum_noise * (1.0 + 3.5)).epsilon(1e-9));
  CHECK(floors[0].lse == Approx(k_sum_noise * (1.0 + 3.5)).epsilon(1e-9));
  CHECK(std::abs(floors[0].bias) < 1e-14);
  const auto float8 = floors_of(problem, Level::exact, {Dtype::f8_e4m3fn, Dtype::f64});
  CHECK(float8[0].out == Approx(0x1p-12 * (1.0 + 3.5)).epsilon(1e-9));
}

TEST_CASE("a row whose exact out vanishes has no floor of out", "[floor]") {
  const auto floors =
      floors_of(logits_and_values({1.0, 0.0}, {0.0}, 1), Level::flash, k_exact_output_of_bf16);
  CHECK(floors[0].out == 0.0);
  CHECK(floors[0].bias == 0.0);
  CHECK(floors[0].lse > 0.0);
}

TEST_CASE("the rounding of the output is part of the floor and of its lean", "[floor]") {
  // One key, so out is v: 1 + 2^-9 and 2 + 2^-8 become 1 and 2 in bf16, both too small by
  // 2^-9 / (1 + 2^-9) of themselves.
  const auto floors = floors_of(logits_and_values({0.0, 0.0}, {1.0 + 0x1p-9, 2.0 + 0x1p-8}, 2),
                                Level::exact, {Dtype::bf16, Dtype::bf16});
  const double lost = 0x1p-9 / (1.0 + 0x1p-9);
  CHECK(floors[0].out == Approx(std::hypot(lost, k_sum_noise)).epsilon(1e-12));
  CHECK(floors[0].bias == Approx(-lost).epsilon(1e-12));
}

TEST_CASE("probabilities are rounded by flash kernels and the sum over them is not", "[floor]") {
  // exp(-0.7) = 0.496585 is 254.25 steps of 2^-9, the spacing of bf16 in [1/4, 1/2).
  const auto problem = logits_and_values({0.0, 0.0, -0.3, -0.4}, {1.0, 3.0, -0.25, 2.0}, 2);
  const double p = std::exp(-0.7);
  const double exact_squared = std::pow(1.0 - 0.25 * p, 2) + std::pow(3.0 + 2.0 * p, 2);
  const double value = std::hypot(-0.25, 2.0);
  const double noise = k_sum_noise * 1.7;
  const auto flash = floors_of(problem, Level::flash, k_exact_output_of_bf16);
  CHECK(flash[0].out
        == Approx(std::hypot((p - 254 * 0x1p-9) * value / std::sqrt(exact_squared), noise))
               .epsilon(1e-9));
  // What is lost is (p - 254/512) (-1/4, 2), of which this part lies along the exact out.
  const double along = -0.25 * (1.0 - 0.25 * p) + 2.0 * (3.0 + 2.0 * p);
  CHECK(flash[0].bias == Approx((254 * 0x1p-9 - p) * along / exact_squared).epsilon(1e-9));
  CHECK(flash[0].lse == Approx(noise).epsilon(1e-9));

  SECTION("fp8 kernels shift them by 2^8 before they round to e4m3") {
    // 256 · 0.496585 = 127.13 lies nearest to 128 of the steps of 8 in [64, 128].
    const auto fp8 = floors_of(problem, Level::fp8, {Dtype::f8_e4m3fn, Dtype::f64});
    const double error = (0.5 - p) * value / std::sqrt(exact_squared);
    CHECK(fp8[0].out == Approx(std::hypot(error, 0x1p-12 * 1.7)).epsilon(1e-9));
  }
  SECTION("cut ones are 254 steps here too, and 253 where 253.9 was rounded up") {
    const double d = -std::log(253.9 * 0x1p-9);
    const auto other = logits_and_values({0.0, 0.0, 0.0, -d}, {0.0, 1.0}, 1);
    const auto cut = floors_of(other, Level::flash_cut, k_exact_output_of_bf16);
    CHECK(cut[0].bias == Approx(-0.9 / 253.9).epsilon(1e-9));
    CHECK(floors_of(other, Level::flash, k_exact_output_of_bf16)[0].bias
          == Approx(0.1 / 253.9).epsilon(1e-9));
  }
}

TEST_CASE("rounded logits leave in the lse what rounding leaves on average, weighted by "
          "probabilities",
          "[floor]") {
  // Logits 3 and 2, which bf16 holds: this row's own error is 0, the usual one is not.
  const auto problem = logits_and_values({1.0, 2.0, -1.0, 3.0}, {1.0, 1.0}, 1);
  const double p = 1.0 / (1.0 + std::exp(-1.0));
  const double usual = std::hypot(p * 3.0, (1.0 - p) * 2.0) * rounding_spread(Rounding::bf16);
  const auto once = floors_of(problem, Level::rounded_logits, k_exact_output_of_bf16);
  CHECK(once[0].lse == Approx(usual).epsilon(1e-9));
  const auto twice = floors_of(problem, Level::eager, k_exact_output_of_bf16);
  CHECK(twice[0].lse == Approx(std::sqrt(2.0) * usual).epsilon(1e-9));
}

TEST_CASE("a sum of rounded probabilities is as uncertain as their logits spread in steps",
          "[floor]") {
  // Logits 2 and 2 - d of probabilities p and 1 - p have the standard deviation d sqrt(p (1 - p)),
  // here a quarter of a step of bf16, 2^-7; the largest probability, 1 before it is normalised, is
  // not rounded.
  const double d = 0x1p-8;
  const auto problem = logits_and_values({2.0, 0.0, 2.0, -d}, {1.0, 1.0}, 1);
  const double p = 1.0 / (1.0 + std::exp(-d));
  const double steps = d * std::sqrt(p * (1.0 - p)) / 0x1p-7;
  const auto near = floors_of(problem, Level::rounded_sum, k_exact_output_of_bf16);
  CHECK(near[0].lse == Approx((1.0 - p) * steps * rounding_spread(Rounding::bf16)).epsilon(1e-6));
  // Many steps apart: all of it. exp(-d) = 155/256 is a number of bf16, so that the row's own error
  // is 0.
  const auto far =
      floors_of(logits_and_values({2.0, 0.0, 2.0, std::log(155.0 / 256.0)}, {1.0, 1.0}, 1),
                Level::rounded_sum, k_exact_output_of_bf16);
  CHECK(far[0].lse
        == Approx(rounding_spread(Rounding::bf16) * 155.0 / (155.0 + 256.0)).epsilon(1e-9));
}

TEST_CASE("TF32 kernels round keys and values too, those of every row", "[floor]") {
  // One key, whose values 1 + 2^-12 and 1 + 3 · 2^-12 become 1 and 1 + 2^-10; three rows see it.
  const auto problem =
      logits_and_values({1.0 + 0x1p-12, 0.5}, {1.0 + 0x1p-12, 1.0 + 3 * 0x1p-12}, 2, 3);
  const auto floors = floors_of(problem, Level::tf32, k_exact_output_of_f32);
  REQUIRE(floors.size() == 3);
  const double exact = std::hypot(1.0 + 0x1p-12, 1.0 + 3 * 0x1p-12);
  const double noise = k_sum_noise * (2.5 + 0x1p-12);
  // The logit 1 + 2^-12 + 1/2 is rounded to 1.5; on average both factors of both products are
  // rounded.
  const double usual = std::sqrt(2.0) * rounding_spread(Rounding::tf32) * std::hypot(1.0, 0.5);
  for (const RowFloor& floor : floors) {
    CHECK(floor.out == Approx(std::hypot(std::sqrt(2.0) * 0x1p-12 / exact, noise)).epsilon(1e-9));
    CHECK(floor.lse == Approx(usual).epsilon(1e-9));
  }
}

TEST_CASE("keys and values made of a latent are rounded before the kernel sees them", "[floor]") {
  // (1 + 2^-7)² = 1 + 2^-6 + 2^-14, of which bf16 keeps 1 + 2^-6.
  const double x = 1.0 + 0x1p-7;
  const auto problem = latent_of_rank_one(reference::Form::latent, {x}, 1.0, x, 2.0 * x);
  const auto floors = floors_of(problem, Level::flash, k_exact_output_of_bf16);
  const double noise = k_sum_noise * (1.5 + x * x);
  CHECK(floors[0].out == Approx(std::hypot(0x1p-14 / (x * x), noise)).epsilon(1e-9));
  CHECK(floors[0].bias == Approx(-0x1p-14 / (x * x)).epsilon(1e-9));
  // The products are 1 + 2^-6 and 1/2, each of a rounded key.
  CHECK(floors[0].lse
        == Approx(rounding_spread(Rounding::bf16) * std::hypot(1.0 + 0x1p-6, 0.5)).epsilon(1e-9));
  const auto exact = floors_of(problem, Level::exact, k_exact_output_of_bf16);
  CHECK(exact[0].out == Approx(noise).epsilon(1e-9));
}

TEST_CASE("an absorbed kernel rounds the query that W_UK makes and the average of latents",
          "[floor]") {
  // Keys 1 and 1 + 2^-7 with a query of 0 have the average 1 + 2^-8, a tie that bf16 rounds to 1.
  const auto average =
      floors_of(latent_of_rank_one(reference::Form::absorbed, {1.0 + 0x1p-7, 1.0}, 0.0, 1.0, 3.0),
                Level::flash, k_exact_output_of_bf16);
  REQUIRE(average.size() == 1);
  CHECK(average[0].out
        == Approx(std::hypot(0x1p-8 / (1.0 + 0x1p-8), k_sum_noise * 1.5)).epsilon(1e-9));
  // q · w = 1 + 2^-6 + 2^-14 becomes 1 + 2^-6.
  const double x = 1.0 + 0x1p-7;
  const auto query = floors_of(latent_of_rank_one(reference::Form::absorbed, {1.0}, x, x, 1.0),
                               Level::flash, k_exact_output_of_bf16);
  CHECK(query[0].lse
        == Approx(rounding_spread(Rounding::bf16) * std::hypot(1.0 + 0x1p-6, 0.5)).epsilon(1e-9));
  CHECK(query[0].out == Approx(k_sum_noise * (1.5 + x * x)).epsilon(1e-9));
}

TEST_CASE("floors of several levels at once are those of one level after the other", "[floor]") {
  const kernel::Run run = kernel::inputs({40, 300, 3, 8, 4, 5});
  auto problem = *reference::make_problem(run.capture(), reference::Form::expanded, 0.3, 4);
  problem.threads = 2;
  const auto samples = sample_logits(problem, sample_rows(problem, 50));
  // Rounded queries see other logits than the rest; TF32 rounds values, fp8 shifts the exponent.
  const std::vector<Level> levels = {Level::rounded_query, Level::exact,       Level::flash,
                                     Level::tf32,          Level::rounded_sum, Level::fp8,
                                     Level::flash_cut,     Level::eager,       Level::tf32_cut};
  const auto together = simulate_floors(problem, samples, levels, k_exact_output_of_bf16);
  REQUIRE(together.size() == levels.size());
  for (std::size_t level = 0; level < levels.size(); ++level) {
    const auto alone =
        simulate_floors(problem, samples, {levels[level]}, k_exact_output_of_bf16).front();
    REQUIRE(together[level].size() == samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      INFO(to_string(levels[level]) << " " << i);
      CHECK(together[level][i].out == Approx(alone[i].out).epsilon(1e-9).margin(1e-15));
      CHECK(together[level][i].lse == Approx(alone[i].lse).epsilon(1e-9).margin(1e-15));
      CHECK(together[level][i].bias == Approx(alone[i].bias).epsilon(1e-9).margin(1e-15));
    }
    CHECK((levels[level] == Level::exact || alone[20].out > 1e-5));
  }
}

TEST_CASE("levels that round the keys made of a latent are not taken for those that do not",
          "[compare][floor]") {
  // (1 + 2^-7)², of which bf16 keeps 1 + 2^-6; the query is rounded at neither level.
  const double x = 1.0 + 0x1p-7;
  const auto problem = latent_of_rank_one(reference::Form::latent, {x}, 1.0, x, 2.0 * x);
  const auto samples = sample_logits(problem, sample_rows(problem, 100));
  const double noise = k_sum_noise * (1.5 + x * x);
  const double key = rounding_spread(Rounding::bf16) * std::hypot(1.0 + 0x1p-6, 0.5);
  for (const bool exact_first : {true, false}) {
    const std::vector<Level> levels = exact_first ? std::vector{Level::exact, Level::flash}
                                                  : std::vector{Level::flash, Level::exact};
    const auto floors = simulate_floors(problem, samples, levels, k_exact_output_of_bf16);
    CHECK(floors[exact_first ? 0 : 1][0].lse == Approx(noise).epsilon(1e-9));
    CHECK(floors[exact_first ? 1 : 0][0].lse == Approx(key).epsilon(1e-9));
  }
}
