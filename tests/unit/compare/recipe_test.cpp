#include "support/catch.hpp"

#include <mla_scale/compare/recipe.hpp>

using namespace mla_scale;
using namespace mla_scale::compare;
using reference::Form;

namespace {

constexpr ComputeDtypes k_recipe_bf16 = {tensor::Dtype::bf16, tensor::Dtype::bf16};
constexpr ComputeDtypes k_recipe_f16 = {tensor::Dtype::f16, tensor::Dtype::f16};
constexpr ComputeDtypes k_recipe_float8 = {tensor::Dtype::f8_e4m3fn, tensor::Dtype::bf16};

/// The roundings of a recipe: query, key, value, average; product, logit, probability, normalised.
std::vector<Rounding> roundings(const Recipe& recipe) {
  return {recipe.input.query, recipe.input.key, recipe.input.value, recipe.input.average,
          recipe.product,     recipe.logit,     recipe.probability, recipe.normalised};
}

std::vector<Rounding> roundings_of(Level level, Form form = Form::expanded,
                                   const ComputeDtypes& dtypes = k_recipe_bf16) {
  return roundings(recipe_for(level, dtypes, form));
}

} // namespace

TEST_CASE("a kernel of a level rounds what its name says and nothing else", "[compare][recipe]") {
  constexpr Rounding none = Rounding::none;
  constexpr Rounding bf16 = Rounding::bf16;
  using Row = std::vector<Rounding>;
  CHECK(roundings_of(Level::exact) == Row{none, none, none, none, none, none, none, none});
  CHECK(roundings_of(Level::flash) == Row{none, none, none, none, none, none, bf16, none});
  CHECK(roundings_of(Level::rounded_sum) == roundings_of(Level::flash));
  CHECK(roundings_of(Level::rounded_query) == Row{bf16, none, none, none, none, none, bf16, none});
  CHECK(roundings_of(Level::rounded_logits) == Row{none, none, none, none, none, bf16, none, bf16});
  CHECK(roundings_of(Level::eager) == Row{none, none, none, none, bf16, bf16, none, bf16});
  for (const Rounding tf32 : {Rounding::tf32, Rounding::tf32_cut}) {
    CHECK(roundings_of(tf32 == Rounding::tf32 ? Level::tf32 : Level::tf32_cut)
          == Row{tf32, tf32, tf32, none, none, none, tf32, none});
  }
}

TEST_CASE("probabilities are cut or rounded in the dtype of the kernel", "[compare][recipe]") {
  CHECK(probability_rounding(Level::flash_cut, k_recipe_bf16) == Rounding::bf16_cut);
  CHECK(probability_rounding(Level::flash_cut, k_recipe_f16) == Rounding::f16_cut);
  CHECK(probability_rounding(Level::flash, k_recipe_f16) == Rounding::f16);
  CHECK(probability_rounding(Level::eager, k_recipe_bf16) == Rounding::bf16);
  CHECK(probability_rounding(Level::exact, k_recipe_bf16) == Rounding::none);
  CHECK(probability_rounding(Level::fp8, k_recipe_float8) == Rounding::e4m3);
  CHECK(probability_rounding(Level::flash, k_recipe_float8) == Rounding::bf16);
}

TEST_CASE("only kernels that sum rounded probabilities do, only those of fp8 shift their exponent",
          "[compare][recipe]") {
  for (const Level level : {Level::exact, Level::tf32, Level::tf32_cut, Level::flash,
                            Level::flash_cut, Level::rounded_sum, Level::rounded_query, Level::fp8,
                            Level::rounded_logits, Level::eager}) {
    const Recipe recipe = recipe_for(level, k_recipe_bf16, Form::expanded);
    CHECK(recipe.sums_rounded == (level == Level::rounded_sum));
    CHECK(recipe.probability_gain == (level == Level::fp8 ? 256.0 : 1.0));
  }
}

TEST_CASE("what is made of the latent is rounded unless nothing is", "[compare][recipe]") {
  constexpr Rounding none = Rounding::none;
  constexpr Rounding bf16 = Rounding::bf16;
  using Row = std::vector<Rounding>;
  CHECK(roundings_of(Level::flash, Form::latent)
        == Row{none, bf16, bf16, none, none, none, bf16, none});
  CHECK(roundings_of(Level::flash, Form::absorbed)
        == Row{bf16, none, none, bf16, none, none, bf16, none});
  CHECK(roundings_of(Level::rounded_query, Form::latent)
        == Row{bf16, bf16, bf16, none, none, none, bf16, none});
  CHECK(roundings_of(Level::exact, Form::latent) == roundings_of(Level::exact));
  CHECK(roundings_of(Level::exact, Form::absorbed) == roundings_of(Level::exact));
}
