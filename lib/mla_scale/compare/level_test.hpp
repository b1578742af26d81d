#pragma once

#include <mla_scale/compare/capture_errors.hpp>
#include <mla_scale/compare/floor.hpp>
#include <mla_scale/compare/position_buckets.hpp>
#include <mla_scale/compare/rounding_bias.hpp>
#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/compare/scale_fit.hpp>

#include <optional>
#include <vector>

namespace mla_scale::compare {

/// What the tests of one level work on.
struct Evidence {
  const reference::Problem& problem;
  const CaptureErrors& errors;
  const PositionBuckets& buckets;
  const std::vector<RowSample>& samples;
  ComputeDtypes dtypes;
  tensor::Dtype lse_dtype = tensor::Dtype::f32;
  std::optional<ScaleFit> lse_fit;
  std::optional<ScaleFit> out_fit;
  std::vector<RowSpread> spreads; ///< of samples, at the problem's scale
};

/// A tensor held against one level.
struct LevelResult {
  Level level = Level::exact;
  double out_bulk = 0.0; ///< median error / median floor over samples
  double lse_bulk = 0.0;
  double out_floor = 0.0; ///< rms over samples
  double lse_floor = 0.0;
  RoundingBias bias; ///< of probabilities, which logits that hardly spread do not average out
  TensorComparison out;
  TensorComparison lse;

  [[nodiscard]] bool passed() const { return out.reasons.empty() && lse.reasons.empty(); }
};

/// Largest relative error of a fitted scale that kernels of a level have without being wrong.
[[nodiscard]] double scale_allowance(Level level, const ComputeDtypes& dtypes, bool from_lse);

/// Errors against the floors of one level: by head, by position, by (head, position) cell and by
/// row, and the two ways in which errors too small for that add up: a scale, and a gain. `floors`:
/// simulate_floors() of the level for the evidence's samples.
[[nodiscard]] LevelResult test_level(const Evidence& evidence, Level level,
                                     const std::vector<RowFloor>& floors);

} // namespace mla_scale::compare
