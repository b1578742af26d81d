#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace mla_scale::diagnose {

struct Options {
  std::int64_t heads = 8;        ///< heads looked at
  std::int64_t logits = 600'000; ///< logits held at most: rows · keys
  /// (head, row) pairs that a comparison found worst: their heads and rows are looked at first.
  std::vector<std::pair<std::int64_t, std::int64_t>> suspects = {};
  /// Relative error that a healthy kernel's rounding may leave in a scale fitted from out, beyond
  /// the fit's standard error: large where logits hardly spread.
  double scale_bias = 0.0;
};

/// Which known bug produced the capture's out and lse.
///
/// `problem` is attention as it should be: its softmax_scale is the expected one. Looks at chosen
/// heads and rows only; how many is in the report. Deterministic.
/// Errors: those of reference::validate().
[[nodiscard]] Result<Report> diagnose(const reference::Problem& problem,
                                      const tensor::Capture& capture,
                                      const Expectation& expectation, const Options& options = {});

} // namespace mla_scale::diagnose
