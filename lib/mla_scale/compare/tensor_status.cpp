#include <mla_scale/compare/tensor_status.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace mla_scale::compare {
namespace {

/// True when every element of the problem's rows and heads is zero.
bool all_zero(const reference::Problem& problem, const tensor::View3& view) {
  std::vector<double> row(static_cast<std::size_t>(view.width));
  for (const std::int64_t token : problem.chosen_rows()) {
    for (const std::int64_t head : problem.chosen_heads()) {
      view.read(token, head, 0, view.width, row.data());
      if (std::any_of(row.begin(), row.end(), [](double x) { return x != 0.0; })) {
        return false;
      }
    }
  }
  return true;
}

std::int64_t elements_of(const ErrorSums& sums) {
  return sums.count + sums.nan + sums.inf;
}

} // namespace

Status status_of(const reference::Problem& problem, const std::optional<tensor::View3>& view,
                 const TensorErrors& errors) {
  if (!view) {
    return Status::missing;
  }
  if (elements_of(errors.sums) == 0) {
    return Status::empty;
  }
  if (!errors.sums.finite()) {
    return Status::not_finite;
  }
  // Zeros where zeros are right, such as values that are all zero, are no reason to doubt.
  return errors.sums.expected_squared > 0.0 && all_zero(problem, *view) ? Status::all_zero
                                                                        : Status::match;
}

bool can_be_judged(Status status) {
  return status == Status::match || status == Status::not_finite;
}

TensorComparison finish(TensorComparison tested, std::string name, Status status,
                        const TensorErrors& errors) {
  tested.name = std::move(name);
  tested.sums = errors.sums;
  tested.worst = errors.worst.elements;
  tested.status = status;
  if (status == Status::match && !tested.reasons.empty()) {
    tested.status = Status::mismatch;
  }
  if (status == Status::not_finite) {
    tested.reasons.insert(tested.reasons.begin(),
                          fmt::format("{} NaN and {} infinite of {} elements", errors.sums.nan,
                                      errors.sums.inf, elements_of(errors.sums)));
  }
  return tested;
}

} // namespace mla_scale::compare
