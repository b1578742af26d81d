#pragma once

#include <mla_scale/tensor/safetensors_writer.hpp>
#include <mla_scale/tensor/sampling/sample.hpp>

#include <string>
#include <vector>

namespace mla_scale::report {

/// A sample that was written.
struct SampleSummary {
  std::string model; ///< the model's path
  std::string file;
  std::vector<tensor::TensorPlan> tensors;
  tensor::sampling::SampleParameters parameters;
};

/// What stands in the file and how it was drawn, a line a tensor.
[[nodiscard]] std::string sample_text(const SampleSummary& summary);

/// {schema_version, tool, model, file, seed, distribution, dtype, heads, query_rows, key_rows,
/// tensors: [{name, dtype, shape}]}.
[[nodiscard]] std::string sample_json(const SampleSummary& summary);

} // namespace mla_scale::report
