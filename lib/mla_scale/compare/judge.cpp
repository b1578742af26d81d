#include <mla_scale/compare/conclude.hpp>
#include <mla_scale/compare/hidden_scale.hpp>
#include <mla_scale/compare/judge.hpp>
#include <mla_scale/compare/nearest_level.hpp>
#include <mla_scale/compare/position_buckets.hpp>
#include <mla_scale/compare/scale_resolution.hpp>
#include <mla_scale/compare/tensor_status.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::compare {
namespace {

constexpr double k_float32_bias = 1e-6; // what it does to the lse of all rows alike, measured

/// The level that the capture shows, among these.
LevelResult choose_level(const Evidence& evidence, const std::vector<Level>& levels) {
  std::vector<LevelResult> results;
  const std::vector<std::vector<RowFloor>> floors =
      simulate_floors(evidence.problem, evidence.samples, levels, evidence.dtypes);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    LevelResult result = test_level(evidence, levels[i], floors[i]);
    // Cutting leans to one side by a known amount: where out does not, its size means nothing.
    if (levels[i] != Level::flash_cut || result.passed() || levels.size() == 1) {
      results.push_back(std::move(result));
    }
  }
  return nearest_level(std::move(results), evidence);
}

/// The judgement with the problem's scale taken as it is, at one level or the best of all.
Result<Judgement> judge_with(const reference::Problem& problem, const tensor::Capture& capture,
                             const JudgeOptions& options, std::optional<Level> only = {}) {
  auto errors = collect_errors(problem, capture, options.progress);
  if (!errors) {
    return errors.error();
  }
  Judgement judgement;
  judgement.work = errors->work;
  judgement.dtypes.input = tensor::effective_dtype(problem.q);
  if (capture.out) {
    judgement.dtypes.output = tensor::effective_dtype(*capture.out);
  }
  const Status out_status = status_of(problem, capture.out, errors->out);
  const Status lse_status = status_of(problem, capture.lse, errors->lse);
  errors->out.present = can_be_judged(out_status);
  errors->lse.present = can_be_judged(lse_status);

  const std::vector<RowSample> samples =
      sample_logits(problem, sample_rows(problem, options.sampled_rows));
  const PositionBuckets buckets(problem);
  Evidence evidence{problem,
                    *errors,
                    buckets,
                    samples,
                    judgement.dtypes,
                    {},
                    {},
                    {},
                    row_spreads(samples, problem.softmax_scale)};
  LevelResult level;
  if (errors->reference_not_finite == 0 && !samples.empty()) {
    if (errors->lse.present) {
      evidence.lse_dtype = tensor::effective_dtype(*capture.lse);
      evidence.lse_fit = fit_scale_from_lse(problem, capture, samples);
    }
    if (errors->out.present) {
      evidence.out_fit =
          fit_scale_from_out(problem, capture, thinned(problem, samples, options.fitted_rows));
    }
    level = choose_level(evidence, only ? std::vector{*only} : levels_for(evidence.dtypes));
  }
  judgement.level = level.level;
  judgement.scale_bias = level.bias.scale;
  if (evidence.out_fit) {
    const auto width = static_cast<double>(problem.v_width());
    take_noise(level.out_floor / std::sqrt(width), level.bias.scale, *evidence.out_fit);
  }
  if (evidence.lse_fit) {
    const bool exact = evidence.lse_dtype == tensor::Dtype::f64;
    take_noise(level.lse_floor, exact ? 0.0 : k_float32_bias, *evidence.lse_fit);
  }
  judgement.tensors.push_back(finish(level.out, "out", out_status, errors->out));
  judgement.tensors.push_back(finish(level.lse, "lse", lse_status, errors->lse));
  judgement.fit = better_fit(evidence, level);
  judgement.fit_from_out = evidence.out_fit;
  if (errors->reference_not_finite > 0) {
    leave_unjudged(judgement);
    judgement.verdict = Verdict::inconclusive;
    judgement.reasons.push_back(
        fmt::format("the captured inputs give no finite attention for {} rows: they hold NaN or "
                    "infinities",
                    errors->reference_not_finite));
    judgement.advice.emplace_back("find where q, k or v became infinite: attention is downstream");
    return judgement;
  }
  if (samples.empty()) {
    leave_unjudged(judgement);
    judgement.reasons.emplace_back("no query row of the capture sees a key");
    judgement.advice.emplace_back("save rows that see keys");
    return judgement;
  }
  conclude(judgement);
  const double resolution = scale_resolution(evidence, level);
  if (errors->out.present || errors->lse.present) {
    judgement.rivals = meet_rivals(options.rivals, problem.softmax_scale, resolution);
  }
  if (judgement.verdict == Verdict::match) {
    add_weakness(judgement, resolution);
    if (has_coarse_logits(judgement.level)) {
      judgement.notes.emplace_back("precision.bf16_logits");
    }
    if (judgement.level == Level::flash_cut) {
      judgement.notes.emplace_back("precision.truncated_probabilities");
    }
  }
  return judgement;
}

/// The level that a capture meets at the scale fitted to it, when that is not the problem's and the
/// level taken hid the difference.
std::optional<Level> finer_level(const reference::Problem& problem, const tensor::Capture& capture,
                                 const JudgeOptions& options, const Judgement& judgement) {
  const std::optional<double> hidden = hidden_scale(judgement, problem.softmax_scale);
  if (!hidden) {
    return std::nullopt;
  }
  reference::Problem fitted = problem;
  fitted.softmax_scale = *hidden;
  JudgeOptions without_rivals = options;
  without_rivals.rivals.clear();
  const auto again = judge_with(fitted, capture, without_rivals);
  const bool finer = again && shows_hidden_scale(*again, judgement.level);
  return finer ? std::optional(again->level) : std::nullopt;
}

/// judge_with(), but a coarser level may not take in the error of a scale.
Result<Judgement> judge_at(const reference::Problem& problem, const tensor::Capture& capture,
                           const JudgeOptions& options) {
  auto judgement = judge_with(problem, capture, options);
  if (!judgement) {
    return judgement;
  }
  const std::optional<Level> finer = finer_level(problem, capture, options, *judgement);
  return finer ? judge_with(problem, capture, options, finer) : std::move(judgement);
}

} // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
  case Verdict::match:
    return "match";
  case Verdict::mismatch:
    return "mismatch";
  case Verdict::inconclusive:
    return "inconclusive";
  }
  return "";
}

Result<Judgement> judge(const reference::Problem& problem, const tensor::Capture& capture,
                        const JudgeOptions& options) {
  auto judgement = judge_at(problem, capture, options);
  const std::optional<double> rounded =
      judgement ? rounded_scale(*judgement, problem.softmax_scale) : std::nullopt;
  if (!rounded) {
    return judgement;
  }
  reference::Problem coarse = problem;
  coarse.softmax_scale = *rounded;
  auto again = judge_at(coarse, capture, options);
  if (!again || again->verdict != Verdict::match || !has_coarse_logits(again->level)) {
    return judgement; // a kernel that keeps its logits whole has no reason to round their scale
  }
  again->notes.push_back(fmt::format("the scale itself was rounded to {}, as the logits are",
                                     format_number(*rounded)));
  if (again->fit) {
    again->fit->ratio = again->fit->softmax_scale / problem.softmax_scale;
  }
  return again;
}

} // namespace mla_scale::compare
