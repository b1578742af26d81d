// Softmax of rows of a few keys, by hand: logits are scale · (nope + rope).
#include "support/catch.hpp"

#include <mla_scale/compare/kernel_softmax.hpp>

#include <array>
#include <cmath>
#include <vector>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

/// The products are 2, -2 and 4.
RowSample three_products() {
  RowSample sample;
  sample.nope = {0.5, -3.0, 4.5};
  sample.rope = {1.5, 1.0, -0.5};
  return sample;
}

std::vector<double> weights_of(const KernelSoftmax& softmax, std::size_t first, std::size_t count) {
  std::vector<double> weights(count);
  softmax.weigh(first, weights);
  return weights;
}

} // namespace

TEST_CASE("a kernel that rounds nothing has the softmax of its scaled products",
          "[compare][kernel_softmax]") {
  const RowSample sample = three_products();
  const Recipe exact;
  const KernelSoftmax softmax(sample, 0.5, exact); // logits 1, -1 and 2
  const double sum = std::exp(1.0) + std::exp(-1.0) + std::exp(2.0);
  CHECK(softmax.lse() == Approx(std::log(sum)));
  const auto all = weights_of(softmax, 0, 3);
  CHECK(all[0] == Approx(std::exp(1.0) / sum));
  CHECK(all[1] == Approx(std::exp(-1.0) / sum));
  CHECK(all[2] == Approx(std::exp(2.0) / sum));
  const auto last = weights_of(softmax, 1, 2);
  CHECK(last[0] == all[1]);
  CHECK(last[1] == all[2]);
}

TEST_CASE("a kernel rounds products, logits, probabilities and weights where its recipe says so",
          "[compare][kernel_softmax]") {
  // Products 1 + 2^-9 and 3; scaled by 1 + 2^-9 they are 1 + 2^-8 + 2^-18 and 3 + 3 · 2^-9. bf16
  // keeps steps of 2^-7 from 1 on and of 2^-6 from 2 on.
  RowSample sample;
  sample.nope = {1.0, 3.0};
  sample.rope = {0x1p-9, 0.0};
  constexpr double scale = 1.0 + 0x1p-9;
  Recipe recipe;
  recipe.product = Rounding::bf16; // 1 and 3
  CHECK(KernelSoftmax(sample, scale, recipe).lse()
        == Approx(std::log(std::exp(scale) + std::exp(3.0 * scale))).epsilon(1e-12));
  recipe.product = Rounding::none;
  recipe.logit = Rounding::bf16; // 1 + 2^-7 and 3
  CHECK(KernelSoftmax(sample, scale, recipe).lse()
        == Approx(std::log(std::exp(1.0 + 0x1p-7) + std::exp(3.0))).epsilon(1e-12));
  recipe.product = Rounding::bf16;
  recipe.logit = Rounding::bf16; // 1 and 3
  CHECK(KernelSoftmax(sample, scale, recipe).lse()
        == Approx(std::log(std::exp(1.0) + std::exp(3.0))).epsilon(1e-12));
}

TEST_CASE("rounded probabilities are summed only where the recipe says so",
          "[compare][kernel_softmax]") {
  // exp(-0.7) = 0.496585 is 254.25 steps of 2^-9, so 254/512; times 256 e4m3 makes 128 of it.
  RowSample sample;
  sample.nope = {0.0, -0.7};
  sample.rope = {0.0, 0.0};
  const double p = std::exp(-0.7);
  Recipe recipe;
  recipe.probability = Rounding::bf16;
  const KernelSoftmax flash(sample, 1.0, recipe);
  CHECK(flash.lse() == Approx(std::log(1.0 + p)).epsilon(1e-12));
  CHECK(weights_of(flash, 0, 2)[1] == Approx(254.0 / 512.0 / (1.0 + p)).epsilon(1e-12));
  CHECK(weights_of(flash, 0, 2)[0] == Approx(1.0 / (1.0 + p)).epsilon(1e-12));
  recipe.sums_rounded = true;
  const KernelSoftmax sums(sample, 1.0, recipe);
  CHECK(sums.lse() == Approx(std::log(1.0 + 254.0 / 512.0)).epsilon(1e-12));
  CHECK(weights_of(sums, 0, 2)[1] == Approx(254.0 / (512.0 + 254.0)).epsilon(1e-12));
  recipe.sums_rounded = false;
  recipe.probability = Rounding::e4m3;
  recipe.probability_gain = 256.0;
  const KernelSoftmax float8(sample, 1.0, recipe);
  CHECK(weights_of(float8, 0, 2)[1] == Approx(0.5 / (1.0 + p)).epsilon(1e-12));
  recipe = {};
  recipe.normalised = Rounding::bf16; // p / (1 + p) = 0.331812 is 169.9 steps of 2^-9
  const KernelSoftmax eager(sample, 1.0, recipe);
  CHECK(weights_of(eager, 0, 2)[1] == 170.0 / 512.0);
}

TEST_CASE("an lse is as uncertain as its rounded logits, weighted by probabilities",
          "[compare][kernel_softmax]") {
  const RowSample sample = three_products();
  const std::vector<double> p = {0.25, 0.125, 0.625};
  Recipe recipe;
  CHECK(lse_noise(sample, 0.5, p, recipe) == 0.0);
  // Logits 1, -1 and 2.
  const double weighted = std::hypot(0.25, 0.125, 1.25);
  recipe.logit = Rounding::bf16;
  CHECK(lse_noise(sample, 0.5, p, recipe)
        == Approx(weighted * rounding_spread(Rounding::bf16)).epsilon(1e-12));
  recipe.product = Rounding::f16;
  CHECK(lse_noise(sample, 0.5, p, recipe)
        == Approx(weighted
                  * std::hypot(rounding_spread(Rounding::bf16), rounding_spread(Rounding::f16)))
               .epsilon(1e-12));
}

TEST_CASE("rounded inputs make an lse uncertain by the noise of their products",
          "[compare][kernel_softmax]") {
  RowSample sample = three_products();
  sample.noise = {0.1, 0.2, 0.4};
  const std::vector<double> p = {0.25, 0.125, 0.625};
  Recipe recipe;
  const double inputs = 0.5 * std::hypot(0.025, 0.025, 0.25);
  CHECK(lse_noise(sample, 0.5, p, recipe) == Approx(inputs).epsilon(1e-12));
  recipe.product = Rounding::bf16;
  const double logits = std::hypot(0.25, 0.125, 1.25) * rounding_spread(Rounding::bf16);
  CHECK(lse_noise(sample, 0.5, p, recipe) == Approx(std::hypot(inputs, logits)).epsilon(1e-12));
}

TEST_CASE("a sum of rounded probabilities is uncertain by all but the largest of them",
          "[compare][kernel_softmax]") {
  Recipe recipe;
  recipe.sums_rounded = true;
  recipe.probability = Rounding::bf16;
  const double whole = rounding_spread(Rounding::bf16);
  // Logits 1, -1 and 2 lie many steps apart.
  const std::vector<double> p = {0.25, 0.125, 0.625};
  CHECK(lse_noise(three_products(), 0.5, p, recipe)
        == Approx(std::hypot(0.25, 0.125) * whole).epsilon(1e-12));
  // Logits of 3 and 3 + d, of probabilities in the proportion 3 : 1, have the standard deviation
  // d · sqrt(3) / 4; a step is 2^-7. The proportion is all that counts for it.
  RowSample near;
  constexpr double d = 0x1p-8;
  near.nope = {1.0, 1.0 + 2.0 * d};
  near.rope = {2.0, 2.0 - d};
  const double spread = d * std::sqrt(3.0) / 4.0;
  for (const double total : {1.0, 0.5}) {
    const std::vector<double> q = {0.75 * total, 0.25 * total};
    CHECK(lse_noise(near, 1.0, q, recipe)
          == Approx(0.25 * total * whole * spread / 0x1p-7).epsilon(1e-6));
  }
  // Where all are one number, what rounding does is not by luck.
  RowSample same;
  same.nope = {1.0, 1.0};
  same.rope = {0.1, 0.1};
  CHECK(lse_noise(same, 0.3, std::vector{0.75, 0.25}, recipe) < 1e-6 * whole);
}
