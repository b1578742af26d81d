#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace mla_scale::diagnose {

/// One (head, query row) whose logits against every key of its sequence are held.
struct Row {
  std::int64_t head = 0; ///< in the capture's numbering, as `row`
  std::int64_t row = 0;
  std::size_t sequence = 0;
  std::size_t slot = 0;     ///< which (head, sequence) its values are
  std::size_t keys = 0;     ///< of the sequence
  std::size_t visible = 0;  ///< keys it should see, from the sequence's first
  std::size_t local = 0;    ///< row's place among the query rows of the sequence
  std::size_t queries = 0;  ///< query rows of the sequence
  std::size_t offset = 0;   ///< of its logits in a LogitSet
  double factor = 1.0;      ///< the model's own query factor
  double position = 0.0;    ///< of the query, for temperatures
  bool has_out = false;     ///< captured and finite
  bool has_lse = false;     ///< captured and finite
  double lse = 0.0;         ///< captured, natural logarithm
  double out_squared = 0.0; ///< |captured out|²
  double freedom = 1.0;     ///< independent errors that this row's output counts for

  /// Keys before the first query row: the prefix.
  [[nodiscard]] std::size_t prefix() const { return keys - queries; }
};

/// Unscaled parts of the logits of all rows, at Row::offset.
struct LogitSet {
  std::vector<double> nope; ///< <q_nope, k_nope_j>, the model's query factor not included
  std::vector<double> rope; ///< <q_pe, k_pe_j>
};

/// Values of every slot.
struct ValueSet {
  std::vector<std::vector<double>> values;  ///< [slot] [keys, width]
  std::vector<std::vector<double>> squared; ///< [slot] [keys] of |v_j|²
};

/// Chosen rows of a capture, small enough to hold, with what every hypothesis needs.
struct Sample {
  std::vector<Row> rows;
  std::vector<std::pair<std::int64_t, std::size_t>> slots; ///< (head, sequence)
  std::size_t width = 0;                                   ///< of values and out
  std::shared_ptr<const LogitSet> logits;
  std::shared_ptr<const ValueSet> values;
  std::vector<double> out; ///< [rows, width], captured
  bool any_out = false;
  bool any_lse = false;

  [[nodiscard]] std::span<const double> out_of(std::size_t index) const {
    return std::span(out).subspan(index * width, width);
  }
};

using HeadRow = std::pair<std::int64_t, std::int64_t>;

/// At most `heads` heads (those of `suspects` first, half of them at most) and about `budget`
/// logits: rows spread evenly, with the first and last rows of every sequence and those beside
/// multiples of 64 first. Sorted.
[[nodiscard]] std::vector<HeadRow> choose_rows(const reference::Problem& problem,
                                               std::int64_t heads, std::int64_t budget,
                                               const std::vector<HeadRow>& suspects = {});

/// The sample of given (head, row) pairs, sorted by head, then row.
/// Errors: those of reference::validate().
[[nodiscard]] Result<Sample> make_sample(const reference::Problem& problem,
                                         const tensor::Capture& capture,
                                         const std::vector<HeadRow>& pairs);

/// Values of other (head, sequence) pairs, as [keys, width] each.
[[nodiscard]] ValueSet load_values(const reference::Problem& problem,
                                   const std::vector<std::pair<std::int64_t, std::size_t>>& slots);

} // namespace mla_scale::diagnose
