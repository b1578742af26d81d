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
  std::size_t keys = 0;     ///< of the sequence that the sample holds
  std::size_t visible = 0;  ///< keys it should see, from the sequence's first
  std::size_t local = 0;    ///< row's place among the query rows of the sequence
  std::size_t queries = 0;  ///< query rows of the sequence
  std::size_t prefix = 0;   ///< keys of the sequence before its first query row
  std::size_t offset = 0;   ///< of its logits in a LogitSet
  double factor = 1.0;      ///< the model's own query factor
  double position = 0.0;    ///< of the query, for temperatures
  bool has_out = false;     ///< captured and finite
  bool has_lse = false;     ///< captured and finite
  double lse = 0.0;         ///< captured, natural logarithm
  double out_squared = 0.0; ///< |captured out|²
  double freedom = 1.0;     ///< independent errors that this row's output counts for
};

/// Unscaled parts of the logits of all rows, at Row::offset.
struct LogitSet {
  std::vector<double> nope; ///< <q_nope, k_nope_j>, the model's query factor not included
  std::vector<double> rope; ///< <q_pe, k_pe_j>
  /// Σ_d (q_d · k_jd)² over the columns that are computed from a latent, which a kernel stores
  /// rounded: what their rounding does to `nope`. Empty where the capture holds k itself.
  std::vector<double> stored;
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

/// Keys of the row that has most, or 1.
[[nodiscard]] std::size_t most_keys(const Sample& sample);

/// `most`, or so many rows that the values of all their keys take 128 MiB, four or more.
[[nodiscard]] std::size_t rows_with_values(const Sample& sample, std::size_t most);

using HeadRow = std::pair<std::int64_t, std::int64_t>;

/// What a sample holds beside the logits of the keys that its rows see.
struct Held {
  bool future_keys = true; ///< all keys of the sequence, for hypotheses that move the mask
  bool values = true;
};

/// The sample of given (head, row) pairs, sorted by head, then row. Of a large capture
/// (reference::is_large()) the keys are copied for several heads at a time, so that the file is
/// read once for as many heads as have theirs in 256 MiB.
/// Errors: those of reference::validate().
[[nodiscard]] Result<Sample> make_sample(const reference::Problem& problem,
                                         const tensor::Capture& capture,
                                         const std::vector<HeadRow>& pairs, Held held = {});

} // namespace mla_scale::diagnose
