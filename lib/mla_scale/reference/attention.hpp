#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace mla_scale::reference {

/// Results of some query rows of one head.
struct OutputBlock {
  std::int64_t head = 0;
  std::span<const std::int64_t> rows;
  std::span<const double> out; ///< [rows, v_head_dim]; zeros for a row that sees no key
  std::span<const double> lse; ///< [rows], natural logarithm, without the sink; -inf for no key
};

/// Receives each (head, row) exactly once, in any order, from several threads at a time.
using BlockConsumer = std::function<void(const OutputBlock&)>;

/// Told, from several threads at a time, that so many more pairs of a query row and a key that it
/// sees are done; may be empty.
using PairsDone = std::function<void(double pairs)>;

/// What a computation cost.
struct Work {
  double seconds = 0.0;
  double flops = 0.0; ///< count_flops() of the form that was computed
};

/// softmax(scale · q·kᵀ)·v for the chosen heads and rows, with tiles of keys and online softmax:
/// scratch memory does not grow with the number of queries or keys. Inputs are read and converted a
/// tile at a time. The numbers do not depend on the number of threads. Few rows of a latent problem
/// are computed in absorbed form: in_cheapest_form().
///
/// Of a large capture (is_large()), keys are walked block by block, all heads in a block, so that
/// the file is read once for as many rows of all heads as have their state in 64 MiB.
/// Errors: those of validate().
[[nodiscard]] Result<Work> attend(const Problem& problem, const BlockConsumer& consumer,
                                  const PairsDone& done = {});

/// Outputs of a whole problem, held in memory.
struct Attention {
  std::vector<std::int64_t> heads;
  std::vector<std::int64_t> rows;
  std::int64_t v_width = 0;
  std::vector<double> out; ///< [rows, heads, v_width]
  std::vector<double> lse; ///< [rows, heads]
  Work work;

  [[nodiscard]] std::span<const double> out_row(std::size_t row, std::size_t head) const {
    const auto width = static_cast<std::size_t>(v_width);
    return std::span(out).subspan((row * heads.size() + head) * width, width);
  }
  [[nodiscard]] double lse_at(std::size_t row, std::size_t head) const {
    return lse[row * heads.size() + head];
  }
};

/// attend() with the results collected.
[[nodiscard]] Result<Attention> compute(const Problem& problem);

/// Joins the softmax of two disjoint key sets: lse = ln(e^a + e^b), out the average with weights
/// e^(a - lse), e^(b - lse). A part whose lse is -inf takes no part, whatever stands in its out.
/// Result in `out` and `lse`.
void merge_partial(std::span<double> out, double& lse, std::span<const double> other_out,
                   double other_lse);

} // namespace mla_scale::reference
