#pragma once

namespace mla_scale::compare {

/// Standard errors of a fit whose residuals come in rows: the columns of a row share the rounding
/// of its probabilities, so that rows, not elements, are independent. The variance of Σ J·r is then
/// Σ over rows of (J·r / (1 - share))², with a row's share of the information Σ J².

/// Rows of equal weight below which such a variance is too uncertain to be believed alone.
constexpr int k_few_rows = 16;
/// How much too small an error may be that takes elements as independent, measured.
constexpr double k_clustering = 7.0;
/// Largest share of the information that is taken from one row's residual as it is.
constexpr double k_most_share = 0.9;

/// Student's t over the normal distribution at 3 standard errors: a variance from few rows is
/// uncertain itself. At most 10.
[[nodiscard]] double few_rows_factor(double degrees_of_freedom);

} // namespace mla_scale::compare
