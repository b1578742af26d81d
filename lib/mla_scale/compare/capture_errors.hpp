#pragma once

#include <mla_scale/compare/metrics.hpp>
#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstdint>
#include <functional>
#include <vector>

namespace mla_scale::compare {

/// Errors of one captured tensor, row by row. Vectors are [heads, rows], in the order of the
/// problem's chosen heads and rows.
struct TensorErrors {
  bool present = false;
  ErrorSums sums;
  WorstElements worst;
  /// out: |error| / |reference row|; lse: |error|. Infinity for a row with NaN or infinity, -1 for
  /// a row that sees no key.
  std::vector<double> error;
  /// out: <error, reference> / |reference row|²; lse: the error with its sign.
  std::vector<double> bias;
};

/// A capture against the reference.
struct CaptureErrors {
  std::vector<std::int64_t> heads;
  std::vector<std::int64_t> rows;
  TensorErrors out;
  TensorErrors lse;
  std::vector<double> reference_lse;     ///< [heads, rows]
  std::int64_t reference_not_finite = 0; ///< rows whose inputs give no finite reference
  reference::Work work;

  [[nodiscard]] std::size_t slot(std::size_t head, std::size_t row) const {
    return head * rows.size() + row;
  }
};

/// Told from any thread how many logits of how many are done; may be empty.
using Progress = std::function<void(std::size_t done, std::size_t total)>;

/// Computes the reference and compares as it goes; outputs are not kept.
/// Errors: those of reference::validate().
[[nodiscard]] Result<CaptureErrors> collect_errors(const reference::Problem& problem,
                                                   const tensor::Capture& capture,
                                                   const Progress& progress = {});

} // namespace mla_scale::compare
