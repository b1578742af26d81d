#include <mla_scale/compare/recipe.hpp>

namespace mla_scale::compare {

Recipe recipe_for(Level level, const ComputeDtypes& dtypes, reference::Form form) {
  const Rounding compute = dtypes.compute();
  Recipe recipe;
  if (level == Level::exact) {
    return recipe;
  }
  if (level == Level::tf32 || level == Level::tf32_cut) {
    const Rounding rounding = level == Level::tf32 ? Rounding::tf32 : Rounding::tf32_cut;
    recipe.input = {rounding, rounding, rounding, Rounding::none};
    recipe.probability = rounding;
    return recipe;
  }
  // What is computed from the latent is stored in the dtype before the kernel sees it.
  if (form == reference::Form::latent) {
    recipe.input.key = compute;
    recipe.input.value = compute;
  } else if (form == reference::Form::absorbed) {
    recipe.input.query = compute;
    recipe.input.average = compute;
  }
  recipe.probability = compute;
  if (level == Level::rounded_query) {
    recipe.input.query = compute;
  } else if (level == Level::fp8) {
    recipe.probability = Rounding::e4m3;
    recipe.probability_gain = 256.0;
  } else if (level == Level::flash_cut) {
    recipe.probability = compute == Rounding::f16 ? Rounding::f16_cut : Rounding::bf16_cut;
  } else if (level == Level::rounded_sum) {
    recipe.sums_rounded = true;
  } else if (has_coarse_logits(level)) {
    recipe.product = level == Level::eager ? compute : Rounding::none;
    recipe.logit = compute;
    recipe.normalised = compute;
    recipe.probability = Rounding::none;
  }
  return recipe;
}

Rounding probability_rounding(Level level, const ComputeDtypes& dtypes) {
  const Recipe recipe = recipe_for(level, dtypes, reference::Form::expanded);
  return recipe.probability == Rounding::none ? recipe.normalised : recipe.probability;
}

} // namespace mla_scale::compare
