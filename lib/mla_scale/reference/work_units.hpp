#pragma once

#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace mla_scale::reference {

/// One piece of work: some rows of one sequence, for one head or for several that share their keys.
struct Unit {
  std::span<const std::int64_t> heads;
  tensor::Sequence sequence;
  std::span<const std::int64_t> rows;
  double pairs = 0.0; ///< of a query row and a key that it sees, over all heads of the unit
};

/// Cuts the problem into units, dearest first so that threads finish together. How large the units
/// of the expanded form are depends on the number of threads, results do not. Units refer to
/// `heads` and `rows`.
[[nodiscard]] std::vector<Unit> cut(const Problem& problem, std::span<const std::int64_t> heads,
                                    std::span<const std::int64_t> rows);

/// 2 · visible (query, key) pairs · (key width + value width), summed over heads; the products with
/// the weights of the latent are not counted.
[[nodiscard]] double count_flops(const Problem& problem, std::span<const Unit> units);

/// count_flops() and the products with the weights of the latent: 2 · rank · (nope + v) for each
/// key of a unit in latent form, for each query row in absorbed form.
[[nodiscard]] double count_cost(const Problem& problem, std::span<const Unit> units);

/// The problem itself, or for the latent form the absorbed one where it costs less: few query rows
/// do not pay for expanding all keys. Results agree to rounding.
/// \pre validate(problem)
[[nodiscard]] Problem in_cheapest_form(const Problem& problem);

} // namespace mla_scale::reference
