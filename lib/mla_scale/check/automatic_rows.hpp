#pragma once

#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace mla_scale::check {

/// Query rows that stand for all of them.
struct AutomaticRows {
  std::vector<std::int64_t> rows; ///< ascending
  std::int64_t random = 0;        ///< of them, those drawn at random

  /// Probability, at least, that an error that touches `share` of the query rows touches one of the
  /// chosen: 1 - (1 - share)^random, wherever the error lies.
  [[nodiscard]] double catches(double share) const;
};

/// Floating-point operations that computing the problem's rows and heads takes, expanding a latent
/// included.
[[nodiscard]] double cost_of(const reference::Problem& problem);

/// The first and last rows of sequences, those beside page and chunk boundaries (powers of two from
/// 16), and rows drawn one from each of as many equal parts of the capture as `budget`
/// floating-point operations pay for, at least 64 and at most 2048. The same for the same shapes.
/// \pre validate(problem); the problem has no choice of rows yet
[[nodiscard]] AutomaticRows automatic_rows(const reference::Problem& problem, double budget);

/// "512 of 131072 query rows, ...": what was computed and what it catches.
[[nodiscard]] std::string describe(const AutomaticRows& chosen, std::int64_t all);

} // namespace mla_scale::check
