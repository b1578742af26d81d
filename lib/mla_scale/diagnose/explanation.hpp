#pragma once

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/score.hpp>

#include <span>
#include <vector>

namespace mla_scale::diagnose {

/// A candidate with how well it explains out and lse.
struct Explanation {
  Candidate candidate;
  Score score;
  std::vector<Part> lse_parts; ///< what happened to lse on top: lse.base2, ...
  std::string lse_text;        ///< how lse fits
  bool lse_explained = true;
  double lse_cost = 0.0; ///< of the rule behind lse_parts
  double total = 0.0;    ///< log-likelihood minus costs

  /// Subtracted from the log-likelihood: free numbers, those of the rule of lse among them.
  [[nodiscard]] double cost() const { return candidate.cost + lse_cost; }
  /// Number of identifiers that it names.
  [[nodiscard]] std::size_t parts() const { return candidate.parts.size() + lse_parts.size(); }
};

/// Rows that the candidate's prediction and the capture share are scored; lse may follow the
/// candidate, or one of the ways in which lse alone goes wrong.
[[nodiscard]] Explanation explain_with(const Context& context, Candidate candidate,
                                       std::span<const std::size_t> rows);

/// The same of several candidates, on the problem's threads; in their order.
[[nodiscard]] std::vector<Explanation> explain_each(const Context& context,
                                                    std::vector<Candidate> candidates,
                                                    std::span<const std::size_t> rows);

/// Out, and lse when there is one, within what a healthy kernel does.
[[nodiscard]] bool holds(const Context& context, const Explanation& explanation);

/// It holds, and nothing can explain a capture better than a kernel that rounds no logits.
[[nodiscard]] bool settles(const Context& context, const Explanation& best);

/// Of explanations of few rows, best first, what is worth to be held against all: the best three,
/// up to a dozen that are not much worse than the best, and the expectation.
[[nodiscard]] std::vector<Candidate> survivors(std::vector<Explanation> screened);

/// The best explanations of the context's rows, best first; the expectation itself competes (no
/// parts). Proposes, screens on the probe, scores the survivors on all rows.
[[nodiscard]] std::vector<Explanation> explain(const Context& context);

/// The same with the expectation and linear bugs (scales, factors) as the only candidates, and
/// nothing unless the best of them leaves, in all rows, no more than a kernel that rounds no
/// logits: then nothing can explain them better, and the others need not be tried.
[[nodiscard]] std::vector<Explanation> explain_linearly(const Context& context);

} // namespace mla_scale::diagnose
