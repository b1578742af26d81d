#pragma once

#include <mla_scale/compare/level.hpp>
#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace mla_scale::compare {

/// A (head, query row) pair.
using HeadRow = std::pair<std::int64_t, std::int64_t>;

/// One query row of one head with everything that it sees: the unit that fits and floors work on.
struct RowSample {
  std::int64_t head = 0;
  std::int64_t row = 0;
  std::int64_t first_key = 0; ///< of the sequence, in the capture's numbering
  std::vector<double>
      nope; ///< <q_nope, k_nope_j> of the keys it sees, unscaled, query factor included
  std::vector<double> rope; ///< <q_pe, k_pe_j>; the logit is scale · (nope + rope)
  /// Standard deviation that rounding q and k_j gives to nope + rope:
  /// spread · sqrt(Σ_d (q_d · k_jd)²); empty unless one of them was rounded.
  std::vector<double> noise;
};

/// Roundings of a simulated kernel on its inputs.
struct InputRounding {
  Rounding query = Rounding::none;   ///< of scale · q
  Rounding key = Rounding::none;     ///< also what W_UK made of a latent
  Rounding value = Rounding::none;   ///< also what W_UV made of a latent
  Rounding average = Rounding::none; ///< absorbed form: the average of latents, before W_UV
};

/// Rows for fits and floors: at most about `limit` (head, row) pairs, all when there are fewer, and
/// no more than a fixed number of logits; spread evenly over heads and rows by a fixed rule, with
/// the first and last rows always in. Of a long latent only some heads, since each costs the
/// expansion of all its keys, and where the logits would leave a head few rows. Rows that see no
/// key are left out. Sorted by head, then row.
[[nodiscard]] std::vector<HeadRow> sample_rows(const reference::Problem& problem,
                                               std::int64_t limit);

/// `count` of the heads or rows, at least four where there are as many: spread evenly, with the
/// first and the last.
[[nodiscard]] std::vector<std::int64_t> spread_evenly(const std::vector<std::int64_t>& indices,
                                                      std::int64_t count);

/// The first of `rows` whose logits fit into what samples may hold.
[[nodiscard]] std::vector<HeadRow> within_memory(const reference::Problem& problem,
                                                 std::vector<HeadRow> rows);

/// Logits of chosen rows, sorted by head. Reads the keys once, by walk_keys(). In absorbed form
/// `nope` is <W_UKᵀ·q_nope, kv_c_j>, the same number. \pre validate(problem)
[[nodiscard]] std::vector<RowSample> sample_logits(const reference::Problem& problem,
                                                   const std::vector<HeadRow>& rows,
                                                   const InputRounding& rounding = {});

} // namespace mla_scale::compare
