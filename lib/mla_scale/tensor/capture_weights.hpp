#pragma once

#include "capture_files.hpp"

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <optional>
#include <string>
#include <vector>

namespace mla_scale::tensor {

/// The up-projections of the latent, in Capture's orientation.
struct CaptureWeights {
  std::optional<View3> w_uk;
  std::optional<View3> w_uv;
  std::int64_t heads = 0; ///< 0 when there are none
};

/// Reads kv_b_proj [H·(P+V), L], also transposed, rows of one head together and nope before v; else
/// w_uk and w_uv as [L, H, D], or as [H, D, L] or [H, L, D] when only these fit. Errors: schema for
/// shapes that are none of these.
[[nodiscard]] Result<CaptureWeights>
find_weights(const CaptureFiles& files, const Geometry& geometry, std::vector<std::string>& notes);

} // namespace mla_scale::tensor
