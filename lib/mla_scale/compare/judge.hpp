#pragma once

#include <mla_scale/compare/capture_errors.hpp>
#include <mla_scale/compare/floor.hpp>
#include <mla_scale/compare/metrics.hpp>
#include <mla_scale/compare/scale_fit.hpp>
#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::compare {

enum class Verdict { match, mismatch, inconclusive };

/// "match", "mismatch", "inconclusive".
[[nodiscard]] std::string_view to_string(Verdict verdict);

/// A wrong scale that kernels have been seen to use, to be told from the right one.
struct Rival {
  std::string name; ///< for example "scale.latent_width"
  double softmax_scale = 0.0;
};

/// Whether the inputs tell a rival from the right scale.
struct RivalOutcome {
  Rival rival;
  bool told_apart = false;
  double separation = 0.0; ///< error that the rival would cause / floor of a healthy kernel
};

struct JudgeOptions {
  std::vector<Rival> rivals;
  std::int64_t sampled_rows = 2048; ///< (head, row) pairs for floors and the fit from lse
  std::int64_t fitted_rows = 1024;  ///< of them, those for the fit from out, which costs more
  Progress progress;                ///< of the reference, which may be computed more than once
};

/// What the capture shows.
struct Judgement {
  Verdict verdict = Verdict::inconclusive;
  std::vector<std::string> reasons; ///< why, the most telling first; one line each
  std::vector<std::string> advice;  ///< inconclusive: which input or output would tell
  std::vector<std::string> notes;   ///< such as precision.bf16_logits
  Level level = Level::exact;       ///< what a healthy kernel with this error does, or the nearest
  ComputeDtypes dtypes;
  std::vector<TensorComparison> tensors; ///< out, lse
  std::optional<ScaleFit> fit;           ///< lse when it is there, else out
  std::optional<ScaleFit> fit_from_out;
  double scale_bias = 0.0; ///< of fit_from_out, at most, by the level's rounding of probabilities
  std::vector<RivalOutcome> rivals;
  reference::Work work;
};

/// The reference against the capture's out and lse, on the problem's rows and heads.
/// Errors: those of reference::validate().
[[nodiscard]] Result<Judgement> judge(const reference::Problem& problem,
                                      const tensor::Capture& capture,
                                      const JudgeOptions& options = {});

} // namespace mla_scale::compare
