#pragma once

#include <span>
#include <string_view>

namespace mla_scale::diagnose {

/// One known way in which attention goes wrong. Rows of one table: the diagnosis names them, and
/// `explain` prints them.
///
/// General form: logit_ij = s · t_i · (a · u_ij + b · w_ij) with u = <q_nope, k_nope>, w = <q_pe,
/// k_pe>; key set K_i; extra mass z; out = alpha · Σ p v; lse' = c · lse + d · max_j logit.
/// Correct: a = b = t = alpha = c = 1, d = z = 0, K_i = {j <= i + Tk - Tq}.
struct Hypothesis {
  std::string_view id;
  std::string_view title;
  std::string_view changes;    ///< what it does to the general form
  std::string_view shows;      ///< in out and in lse
  std::string_view estimated;  ///< how its numbers are found, and what must hold
  std::string_view confusable; ///< with what, and what separates them
  std::string_view look_at;    ///< in an engine
  std::string_view sources;    ///< separated by spaces
};

/// All hypotheses, in the order of the documentation.
[[nodiscard]] std::span<const Hypothesis> hypotheses();

/// The row of an identifier; nullptr when there is none.
[[nodiscard]] const Hypothesis* find_hypothesis(std::string_view id);

} // namespace mla_scale::diagnose
