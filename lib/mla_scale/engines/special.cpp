#include <mla_scale/core/text.hpp>
#include <mla_scale/engines/magnitude.hpp>
#include <mla_scale/engines/special.hpp>
#include <mla_scale/scale/yarn.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::engines {

Numbers nemo_automodel(const EngineRule& rule, const model::MlaConfig& config) {
  const RopeView view = view_rope(rule, config);
  double multiplier = 1;
  std::string reason = "needs factor, mscale and original_max_position_embeddings";
  if (view.factor && view.mscale && view.original) {
    const bool longer = view.max_positions > *view.original;
    const double g = scale::yarn_magnitude(*view.factor, *view.mscale);
    multiplier = longer ? g * g : *view.mscale * *view.mscale;
    reason = longer
                 ? applied_because(rule, config, view, mscale_instead(view, *view.mscale))
                 : fmt::format("length gate: max_position_embeddings {} <= original {}: multiplies "
                               "by mscale^2 itself",
                               format_number(view.max_positions), format_number(*view.original));
  }
  Numbers numbers;
  numbers.prefill = std::pow(static_cast<double>(*config.dims.qk_head_dim), -0.5) * multiplier;
  numbers.decode = numbers.prefill;
  if (config.rope.rotated) {
    numbers.cos_sin_factor = 1.0;
    numbers.cos_sin_reason = "it has no such factor";
  }
  numbers.prefill_reason = reason;
  numbers.decode_reason = std::move(reason);
  return numbers;
}

} // namespace mla_scale::engines
