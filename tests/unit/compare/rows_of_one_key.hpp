#pragma once

#include "support/tensors.hpp"

#include <mla_scale/compare/level_test.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Errors made up row by row, for the tests of a level.
namespace one_key {

using namespace mla_scale;
using namespace mla_scale::compare;
using tensor::Dtype;

using Reasons = std::vector<std::string>;

/// Rows of `logits`, the same in each head, that all see one key with the value (1, 1).
struct RowsOfOneKey {
  reference::Problem problem;
  CaptureErrors errors;
  std::vector<RowSample> samples;
  std::vector<RowSpread> spreads;
  ComputeDtypes dtypes = {Dtype::f32, Dtype::f64};
  std::optional<ScaleFit> lse_fit;
  std::optional<ScaleFit> out_fit;
  Dtype lse_dtype = Dtype::f64;
  std::optional<std::vector<RowFloor>> floors; ///< of samples, instead of simulated ones

  RowsOfOneKey(std::int64_t heads, const std::vector<double>& logits, double value = 1.0) {
    const std::int64_t rows = std::ssize(logits);
    std::vector<double> queries;
    for (const double logit : logits) {
      queries.insert(queries.end(), static_cast<std::size_t>(heads), logit);
    }
    problem.q = tensors::view(queries, rows, heads, 1);
    problem.k = tensors::view({1.0}, 1, 1, 1);
    problem.v = tensors::view({value, value}, 1, 1, 2);
    problem.sequences = {{0, rows, 0, 1}};
    problem.softmax_scale = 1.0;
    problem.causal = false;
    problem.threads = 1;
    errors.heads = problem.chosen_heads();
    errors.rows = problem.chosen_rows();
    errors.reference_lse.assign(errors.heads.size() * logits.size(), 0.0);
    sample(heads, rows);
  }

  /// Floors come from the first heads and rows alone.
  void sample(std::int64_t heads, std::int64_t rows) {
    std::vector<HeadRow> chosen;
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t row = 0; row < rows; ++row) {
        chosen.emplace_back(head, row);
      }
    }
    samples = sample_logits(problem, chosen);
  }

  /// Every row in a sequence of its own, so that all are at position 0.
  void take_apart() {
    problem.sequences.clear();
    for (const std::int64_t row : errors.rows) {
      problem.sequences.push_back({row, row + 1, 0, 1});
    }
  }

  /// All samples have this floor.
  void have_floor(double floor) { floors.emplace(samples.size(), RowFloor{floor, floor, 0.0}); }

  TensorErrors& without_errors(TensorErrors& tensor) const {
    tensor.present = true;
    tensor.error.assign(errors.reference_lse.size(), 0.0);
    tensor.bias.assign(errors.reference_lse.size(), 0.0);
    return tensor;
  }

  [[nodiscard]] LevelResult tested(Level level = Level::exact) const {
    const PositionBuckets buckets(problem);
    return test_level(
        {problem, errors, buckets, samples, dtypes, lse_dtype, lse_fit, out_fit, spreads}, level,
        floors ? *floors : simulate_floors(problem, samples, {level}, dtypes).front());
  }
};

/// Rows of the logit 0 at position 0 that all have one floor.
inline RowsOfOneKey even_rows(std::int64_t heads, std::int64_t rows, double floor) {
  RowsOfOneKey even(heads, std::vector<double>(static_cast<std::size_t>(rows), 0.0));
  even.take_apart();
  even.have_floor(floor);
  return even;
}

inline bool any_starts_with(const Reasons& reasons, std::string_view words) {
  return std::any_of(reasons.begin(), reasons.end(),
                     [&](const std::string& reason) { return reason.starts_with(words); });
}

inline ScaleFit fit_of_ratio(double ratio, double information) {
  ScaleFit fit;
  fit.softmax_scale = ratio;
  fit.ratio = ratio;
  fit.standard_error = 1e-9;
  fit.converged = true;
  fit.information = information;
  fit.rows = 20;
  return fit;
}

} // namespace one_key
