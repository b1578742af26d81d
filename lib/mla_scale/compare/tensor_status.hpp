#pragma once

#include <mla_scale/compare/capture_errors.hpp>
#include <mla_scale/compare/metrics.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <optional>
#include <string>

namespace mla_scale::compare {

/// What is wrong with a captured tensor before its errors are held against any floor: match when
/// nothing is.
[[nodiscard]] Status status_of(const reference::Problem& problem,
                               const std::optional<tensor::View3>& view,
                               const TensorErrors& errors);

/// True for tensors whose errors, those of the finite rows, are held against floors.
[[nodiscard]] bool can_be_judged(Status status);

/// What the tests of a level found, with everything else that is said of a tensor: a match of which
/// a test failed is a mismatch.
[[nodiscard]] TensorComparison finish(TensorComparison tested, std::string name, Status status,
                                      const TensorErrors& errors);

} // namespace mla_scale::compare
