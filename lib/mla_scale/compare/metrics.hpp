#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::compare {

/// One element that differs.
struct ElementDifference {
  std::array<std::int64_t, 3> index = {-1, -1, -1}; ///< [row, head, column] of the capture
  double got = 0.0;
  double expected = 0.0;
};

/// Sums over elements, from which the metrics come. Adding is associative up to rounding; callers
/// keep one for each (head, row) and add them in a fixed order.
struct ErrorSums {
  std::int64_t count = 0; ///< finite pairs
  std::int64_t nan = 0;   ///< captured elements
  std::int64_t inf = 0;
  double got_squared = 0.0;
  double expected_squared = 0.0;
  double error_squared = 0.0;
  double max_abs = 0.0;
  double max_rel = 0.0; ///< |got - expected| / max(|expected|, rms of the row)

  /// Captured elements that are NaN or infinite where the reference is finite are counted and
  /// enter nothing else.
  ErrorSums& operator+=(const ErrorSums& other);
  /// 1 - 2<x,y>/(|x|²+|y|²), DeepGEMM's calc_diff, computed as |x-y|²/(|x|²+|y|²); 0 for two zero
  /// vectors, NaN when nothing was finite.
  [[nodiscard]] double calc_diff() const;
  /// |x-y|/|y|; infinity when the reference is zero and the capture is not.
  [[nodiscard]] double relative_rms() const;
  [[nodiscard]] bool finite() const { return nan == 0 && inf == 0; }
};

/// Collects one row of one head.
struct RowError {
  ErrorSums sums;
  std::int64_t worst_column = -1;
  double worst_error = 0.0; ///< infinity for NaN
  double worst_got = 0.0;
  double worst_expected = 0.0;

  /// NaN is counted first, then an infinity where a number is expected; neither enters the sums.
  void add(std::int64_t column, double got, double expected);
};

/// The largest errors seen, largest first, one a row of a head. The order of adding does not
/// matter.
struct WorstElements {
  static constexpr std::size_t k_most = 10;
  std::vector<ElementDifference> elements;

  void add(const ElementDifference& difference);
};

/// Error of one group of rows: a head, or positions [first, last].
struct GroupError {
  std::int64_t first = 0;
  std::int64_t last = 0;
  double relative_rms = 0.0; ///< rms over rows of |error| / |reference row| (lse: absolute error)
  double floor = 0.0;        ///< the same for a healthy kernel of the chosen level
  double floor_ratio = 0.0;
  std::int64_t not_finite = 0; ///< rows of a head with NaN or infinity, which enter nothing else
  bool bad = false;
};

/// What is wrong with a tensor. The order is how it is reported: the first that holds.
enum class Status {
  match,
  mismatch,
  missing,
  empty,
  all_zero,
  not_finite,
  not_judged ///< held against no floor: the inputs are not finite, or no row sees a key
};

/// "match", "mismatch", "missing", "empty", "all_zero", "not_finite", "not_judged".
[[nodiscard]] std::string_view to_string(Status status);

/// True of what says that a kernel is wrong: mismatch and not_finite. The others say that nothing
/// is, or that nothing can be said.
[[nodiscard]] bool is_failure(Status status);

/// A captured tensor against the reference.
struct TensorComparison {
  std::string name; ///< "out" or "lse"
  Status status = Status::missing;
  ErrorSums sums;
  std::vector<ElementDifference> worst; ///< at most 10, largest error first
  double floor_ratio = 0.0;             ///< the largest ratio of a group or row to its floor
  std::vector<GroupError> by_position;
  std::vector<GroupError> by_head;
  std::vector<std::string> reasons; ///< each test that failed, in words with numbers
  /// error / floor for each (head, position bucket), heads major, -1 where there is no row; what
  /// the map of the report shows.
  std::vector<double> map;
};

} // namespace mla_scale::compare
