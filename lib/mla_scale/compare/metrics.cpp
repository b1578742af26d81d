#include <mla_scale/compare/metrics.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace mla_scale::compare {
namespace {

/// |got - expected|; NaN and infinities are worse than any number.
double magnitude(const ElementDifference& difference) {
  if (difference.got == difference.expected) {
    return 0.0;
  }
  const double error = std::abs(difference.got - difference.expected);
  return std::isnan(error) ? k_infinity : error;
}

} // namespace

ErrorSums& ErrorSums::operator+=(const ErrorSums& other) {
  count += other.count;
  nan += other.nan;
  inf += other.inf;
  got_squared += other.got_squared;
  expected_squared += other.expected_squared;
  error_squared += other.error_squared;
  max_abs = std::max(max_abs, other.max_abs);
  max_rel = std::max(max_rel, other.max_rel);
  return *this;
}

double ErrorSums::calc_diff() const {
  if (count == 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return error_squared == 0.0 ? 0.0 : error_squared / (got_squared + expected_squared);
}

double ErrorSums::relative_rms() const {
  if (count == 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return error_squared == 0.0 ? 0.0 : std::sqrt(error_squared / expected_squared);
}

std::string_view to_string(Status status) {
  switch (status) {
  case Status::match:
    return "match";
  case Status::mismatch:
    return "mismatch";
  case Status::missing:
    return "missing";
  case Status::empty:
    return "empty";
  case Status::all_zero:
    return "all_zero";
  case Status::not_finite:
    return "not_finite";
  case Status::not_judged:
    return "not_judged";
  }
  return "";
}

bool is_failure(Status status) {
  return status == Status::mismatch || status == Status::not_finite;
}

void RowError::add(std::int64_t column, double got, double expected) {
  const double error = got == expected ? 0.0 : got - expected;
  if (std::isnan(got)) {
    ++sums.nan;
  } else if (std::isinf(got) && error != 0.0) {
    ++sums.inf;
  } else {
    ++sums.count;
    sums.got_squared += got * got;
    sums.expected_squared += expected * expected;
    sums.error_squared += error * error;
    sums.max_abs = std::max(sums.max_abs, std::abs(error));
  }
  const double size = magnitude({{}, got, expected});
  if (size > worst_error || worst_column < 0) {
    worst_column = column;
    worst_error = size;
    worst_got = got;
    worst_expected = expected;
  }
}

void WorstElements::add(const ElementDifference& difference) {
  const auto before = [](const ElementDifference& a, const ElementDifference& b) {
    return std::pair(-magnitude(a), a.index) < std::pair(-magnitude(b), b.index);
  };
  if (magnitude(difference) == 0.0) {
    return;
  }
  elements.insert(std::upper_bound(elements.begin(), elements.end(), difference, before),
                  difference);
  if (elements.size() > k_most) {
    elements.pop_back();
  }
}

} // namespace mla_scale::compare
