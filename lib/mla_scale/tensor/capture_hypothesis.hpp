#pragma once

#include "capture_layout.hpp"

#include <mla_scale/core/result.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::tensor {

/// A tensor with a head axis and all the ways to read its shape.
struct HeadTensor {
  std::string_view canonical;
  std::shared_ptr<const Tensor> tensor;
  std::vector<Reading> readings;
};

/// A number of rows that some tensor fixes.
struct KnownRows {
  std::int64_t rows = 0;
  std::string description; ///< for messages: "kv_c is [192, 512]"
};

/// What the shapes of a capture have to agree on.
struct Shapes {
  std::vector<HeadTensor> inputs;  ///< q, k, v, q_pre: one order of axes for all
  std::vector<HeadTensor> outputs; ///< out: the order may differ from the inputs'
  std::vector<KnownRows> query_rows;
  std::vector<KnownRows> key_rows;
  std::int64_t config_heads = 0;
  std::int64_t weight_heads = 0; ///< heads of kv_b_proj or w_uk; 0 when there are none
  std::shared_ptr<const Tensor> lse;
  std::string layout; ///< CaptureOptions::layout
};

/// The one reading of each tensor under which all shapes agree.
struct Agreement {
  std::vector<Reading> inputs; ///< one for each of Shapes::inputs
  std::vector<Reading> outputs;
  std::int64_t heads = 0;
  std::int64_t batches = 1;
  std::int64_t query_rows = 0;
  std::int64_t key_rows = 0;
  std::vector<std::string> notes;
};

/// Finds the heads, batch entries, rows and axis order that all shapes agree on.
/// Errors: schema naming the tensor and both shapes when none fits; schema asking for --layout when
/// two fit equally well.
[[nodiscard]] Result<Agreement> agree_on_shapes(const Shapes& shapes);

} // namespace mla_scale::tensor
