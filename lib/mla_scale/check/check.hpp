#pragma once

#include <mla_scale/check/selection.hpp>
#include <mla_scale/compare/judge.hpp>
#include <mla_scale/core/result.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/model/mla_config.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/scale/softmax_scale.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::check {

enum class Phase { prefill, decode };

/// Which query rows are computed when none are listed.
enum class RowChoice {
  by_cost,   ///< all, or those of automatic_rows() when all would take more than some 20 seconds
  automatic, ///< those of automatic_rows()
  all,
};

/// "prefill", "decode".
[[nodiscard]] std::string_view to_string(Phase phase);

struct Options {
  Phase phase = Phase::prefill;
  std::optional<double> softmax_scale; ///< in place of the model's
  Selection heads;
  Selection rows; ///< when listed, `row_choice` does not count
  RowChoice row_choice = RowChoice::by_cost;
  reference::Precision precision = reference::Precision::f64;
  int threads = 0;
  std::string layout; ///< CaptureOptions::layout
  bool diagnose = true;
  compare::Progress progress; ///< of the reference
};

/// A capture judged against a model.
struct Check {
  Options options;
  tensor::Capture capture;
  reference::Form form = reference::Form::expanded; ///< what the reference was computed from
  double softmax_scale = 0.0;                       ///< that the reference used
  std::vector<std::int64_t> heads;                  ///< judged, in the capture's numbering
  std::vector<std::int64_t> rows;
  compare::Judgement judgement;
  diagnose::Report diagnosis;
};

/// Reads a capture and holds it against attention in float64 with the model's softmax scale.
///
/// Prefill is computed from q, k and v where they are there, else from the latent; decode in
/// absorbed form where the latent is there. Errors: those of read_capture; unsupported for a model
/// whose attention is no MLA; usage for heads or rows outside the capture.
[[nodiscard]] Result<Check> check_capture(const model::MlaConfig& config,
                                          const scale::SoftmaxScale& scale,
                                          const std::vector<std::filesystem::path>& files,
                                          const Options& options);

/// The same for tensors that are in memory (tensor_in_memory), named as in a file: q, k, v, out ...
/// Errors: likewise, but for those of files.
[[nodiscard]] Result<Check>
check_tensors(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
              const std::vector<std::shared_ptr<const tensor::Tensor>>& tensors,
              const Options& options);

} // namespace mla_scale::check
