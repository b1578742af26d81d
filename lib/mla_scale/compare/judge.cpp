#include <mla_scale/compare/capture_errors.hpp>
#include <mla_scale/compare/clustered_error.hpp>
#include <mla_scale/compare/judge.hpp>
#include <mla_scale/compare/level_test.hpp>
#include <mla_scale/compare/position_buckets.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::compare {
namespace {

constexpr double k_tightest_bulk = 0.4; // a level that is looser by more than this cannot be it
constexpr double k_loosest_bulk = 1.5;
constexpr double k_level_slack = 0.15;   // of |ln(bulk)|, when out alone tells the level
constexpr double k_float8_slack = 0.7;   // their sums are too coarse to tell levels by the bulk
constexpr double k_consistent_lse = 0.4; // a level that rounds logits shows in lse at least so much
constexpr double k_consistent_lse_few = 0.02; // of few rows, which may be small by luck
constexpr std::size_t k_few_samples = 64;
constexpr double k_told_apart = 8.0;       // standard errors between a rival and the right scale
constexpr double k_same_scale = 1e-6;      // rivals nearer than this are the right scale
constexpr double k_scale_precision = 0.01; // wanted of the inputs when no rival is given
constexpr double k_float32_bias = 1e-6;    // what it does to the lse of all rows alike, measured
constexpr std::int64_t k_telling_rows = 8; // with fewer, one scale fits whatever noise there is

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

Status status_of(const reference::Problem& problem, const std::optional<tensor::View3>& view,
                 const TensorErrors& errors) {
  if (!view) {
    return Status::missing;
  }
  if (errors.sums.count + errors.sums.nan + errors.sums.inf == 0) {
    return Status::empty;
  }
  // Zeros where zeros are right, such as values that are all zero, are no reason to doubt.
  if (errors.sums.expected_squared > 0.0 && errors.sums.finite() && all_zero(problem, *view)) {
    return Status::all_zero;
  }
  return errors.sums.finite() ? Status::match : Status::not_finite;
}

bool can_be_judged(Status status) {
  return status == Status::match || status == Status::not_finite;
}

/// A level that rounds logits is out when a captured lse shows logits that were not rounded.
bool contradicted_by_lse(const LevelResult& result, const Evidence& evidence) {
  const double least =
      evidence.samples.size() < k_few_samples ? k_consistent_lse_few : k_consistent_lse;
  return changes_lse(result.level) && evidence.errors.lse.present && result.lse_bulk < least;
}

/// How far the bulk of a capture is from what a level predicts; infinity when the level is out.
double distance_from(const LevelResult& result, const Evidence& evidence) {
  if (!evidence.errors.out.present) {
    return result.lse_bulk <= k_loosest_bulk ? 0.0 : k_infinity;
  }
  if (contradicted_by_lse(result, evidence)) {
    return k_infinity;
  }
  if (result.out_bulk > k_loosest_bulk) {
    return k_infinity;
  }
  if (result.out_bulk >= k_tightest_bulk) {
    return std::abs(std::log(result.out_bulk));
  }
  // Smaller errors than the level's: no fault at the tightest level, and where peaked rows hide
  // what rounded logits do to out, lse may still show it.
  const bool shown_by_lse =
      evidence.errors.lse.present && changes_lse(result.level) && result.lse_bulk <= k_loosest_bulk;
  return result.level == Level::exact ? 0.0
         : shown_by_lse               ? -std::log(k_tightest_bulk)
                                      : k_infinity;
}

/// The level whose tests pass, nearest first; else the nearest; else the loosest, so that the
/// report says how far the capture is even from that.
LevelResult choose_level(const Evidence& evidence, const std::vector<Level>& levels) {
  std::vector<LevelResult> results;
  const std::vector<std::vector<RowFloor>> floors =
      simulate_floors(evidence.problem, evidence.samples, levels, evidence.dtypes);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    LevelResult result = test_level(evidence, levels[i], floors[i]);
    // Cutting leans to one side by a known amount: where out does not, its size means nothing.
    if (levels[i] != Level::flash_cut || result.passed()) {
      results.push_back(std::move(result));
    }
  }
  std::stable_sort(results.begin(), results.end(), [&](const LevelResult& a, const LevelResult& b) {
    return distance_from(a, evidence) < distance_from(b, evidence);
  });
  // A looser level must not swallow what the level that fits best calls wrong.
  const double slack = tensor::is_float8(evidence.dtypes.input) ? k_float8_slack : k_level_slack;
  const double farthest = distance_from(results.front(), evidence) + slack;
  for (const LevelResult& result : results) {
    const bool by_lse = evidence.errors.lse.present && changes_lse(result.level);
    const double distance = distance_from(result, evidence);
    if (std::isfinite(distance) && (distance <= farthest || by_lse) && result.passed()) {
      return result;
    }
  }
  if (std::isfinite(distance_from(results.front(), evidence))) {
    return results.front();
  }
  for (std::size_t i = results.size(); i > 1; --i) {
    if (!contradicted_by_lse(results[i - 1], evidence)) {
      return results[i - 1];
    }
  }
  return results.front();
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
                                      errors.sums.inf,
                                      errors.sums.count + errors.sums.nan + errors.sums.inf));
  }
  return tested;
}

/// The fit that says most: from lse when its residual is what rounding leaves, else from out.
std::optional<ScaleFit> better_fit(const Evidence& evidence, const LevelResult& level) {
  const bool lse_explains = evidence.lse_fit && evidence.lse_fit->converged
                            && evidence.lse_fit->residual <= 4.0 * level.lse_floor;
  if (lse_explains || !evidence.out_fit) {
    return evidence.lse_fit;
  }
  return evidence.out_fit;
}

/// Adds what the rows of a fit cannot show: where they are few, by luck, the noise of a healthy
/// kernel of the level; and what rounding does to all rows alike.
void take_noise(double noise, double bias, ScaleFit& fit) {
  const double scale = std::abs(fit.softmax_scale);
  if (static_cast<double>(fit.rows) < k_few_rows) {
    fit.standard_error =
        std::max(fit.standard_error, scale * noise / std::sqrt(std::max(fit.information, 1e-300)));
  }
  fit.standard_error = std::hypot(fit.standard_error, bias * scale);
}

/// Relative standard error that the scale can be told with, at best, from these inputs and a
/// healthy kernel of the level.
double scale_resolution(const Evidence& evidence, const LevelResult& level, bool out_counts,
                        bool lse_counts) {
  double best = k_infinity;
  if (evidence.out_fit && out_counts) {
    const ScaleFit& fit = *evidence.out_fit;
    const double noise =
        level.out_floor / std::sqrt(static_cast<double>(evidence.problem.v_width()));
    best = std::min(best, std::max({fit.standard_error / std::abs(fit.softmax_scale),
                                    noise / std::sqrt(fit.information), level.bias.scale}));
  }
  if (evidence.lse_fit && lse_counts) {
    const ScaleFit& fit = *evidence.lse_fit;
    best = std::min(best, std::max(fit.standard_error / std::abs(fit.softmax_scale),
                                   level.lse_floor / std::sqrt(fit.information)));
  }
  return best;
}

std::vector<RivalOutcome> meet_rivals(const std::vector<Rival>& rivals, double softmax_scale,
                                      double resolution) {
  std::vector<RivalOutcome> outcomes;
  for (const Rival& rival : rivals) {
    const double distance = rival.softmax_scale > 0.0 && softmax_scale > 0.0
                                ? std::abs(std::log(rival.softmax_scale / softmax_scale))
                                : k_infinity;
    if (distance < k_same_scale) {
      continue;
    }
    const double separation = distance / resolution;
    outcomes.push_back({rival, separation > k_told_apart, separation});
  }
  return outcomes;
}

void add_weakness(Judgement& judgement, double resolution) {
  const auto weak = std::find_if(judgement.rivals.begin(), judgement.rivals.end(),
                                 [](const RivalOutcome& outcome) { return !outcome.told_apart; });
  const bool too_weak =
      judgement.rivals.empty() ? !(resolution < k_scale_precision) : weak != judgement.rivals.end();
  if (!too_weak) {
    return;
  }
  judgement.verdict = Verdict::inconclusive;
  judgement.reasons.insert(
      judgement.reasons.begin(),
      weak != judgement.rivals.end()
          ? fmt::format("these inputs cannot tell the right scale from {} ({})", weak->rival.name,
                        format_number(weak->rival.softmax_scale))
          : fmt::format("these inputs tell the scale to no better than {:.2g} %",
                        100.0 * std::min(resolution, 1.0)));
  judgement.advice.push_back(
      "use rows that see many keys and logits with a standard deviation of about 1 or more, as "
      "`mla-scale sample` makes them, and save the lse: it tells the scale from a single row");
}

void conclude(Judgement& judgement) {
  const TensorComparison& out = judgement.tensors[0];
  const TensorComparison& lse = judgement.tensors[1];
  bool judged = false;
  bool wrong = false;
  for (const TensorComparison* tensor : {&out, &lse}) {
    judged = judged || can_be_judged(tensor->status) || tensor->status == Status::mismatch;
    wrong = wrong || tensor->status == Status::mismatch || tensor->status == Status::not_finite;
    for (const std::string& reason : tensor->reasons) {
      judgement.reasons.push_back(fmt::format("{}: {}", tensor->name, reason));
    }
  }
  for (const TensorComparison* tensor : {&out, &lse}) {
    if (tensor->status == Status::all_zero || tensor->status == Status::empty) {
      judgement.reasons.push_back(tensor->status == Status::empty
                                      ? fmt::format("{} is empty", tensor->name)
                                      : fmt::format("{} is all zero", tensor->name));
      judged = wrong; // Nothing that matches can make up for an output that was never written.
      judgement.advice.push_back(fmt::format(
          "save {} after the kernel has finished: nothing was written to it", tensor->name));
    }
  }
  if (out.status == Status::missing && lse.status == Status::missing) {
    judgement.reasons.emplace_back("the capture has neither out nor lse");
    judgement.advice.emplace_back("save out, and lse where the kernel returns it");
  }
  judgement.verdict = wrong ? Verdict::mismatch : !judged ? Verdict::inconclusive : Verdict::match;
}

/// What was held against no floor neither matches nor mismatches: a NaN of the inputs may have
/// spread to rows that do not see it.
void leave_unjudged(Judgement& judgement) {
  for (TensorComparison& tensor : judgement.tensors) {
    if (can_be_judged(tensor.status)) {
      tensor.status = Status::not_judged;
    }
  }
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
  const double resolution =
      scale_resolution(evidence, level, errors->out.present, errors->lse.present);
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

/// True when a fit allows `softmax_scale`.
bool fits(const ScaleFit& fit, double softmax_scale) {
  return fit.converged
         && std::abs(fit.softmax_scale - softmax_scale)
                <= k_many_errors * fit.standard_error + k_float32_scale * std::abs(softmax_scale);
}

/// True when a wrong scale may look like what this level does: noise of logits, or a lean.
bool may_hide_a_scale(Level level) {
  return changes_lse(level) || level == Level::flash_cut;
}

/// True when `fitted`, the level met at a fitted scale, says that the scale was wrong and `taken`
/// hid it: rounded logits would have left their noise, and cut probabilities their lean, at every
/// scale.
bool shows_hidden_scale(Level fitted, Level taken) {
  return taken == Level::flash_cut ? fitted != Level::flash_cut && !has_coarse_logits(fitted)
                                   : !changes_lse(fitted);
}

/// The level that a capture meets at the scale fitted to it, when that is not the problem's and the
/// level taken hid the difference.
std::optional<Level> finer_level(const reference::Problem& problem, const tensor::Capture& capture,
                                 const JudgeOptions& options, const Judgement& judgement) {
  const std::optional<ScaleFit>& fit = judgement.fit;
  if (judgement.verdict != Verdict::match || !may_hide_a_scale(judgement.level) || !fit
      || !fit->converged || fit->rows < k_telling_rows || fits(*fit, problem.softmax_scale)) {
    return std::nullopt;
  }
  reference::Problem fitted = problem;
  fitted.softmax_scale = fit->softmax_scale;
  JudgeOptions without_rivals = options;
  without_rivals.rivals.clear();
  const auto again = judge_with(fitted, capture, without_rivals);
  const bool finer = again && again->verdict == Verdict::match
                     && shows_hidden_scale(again->level, judgement.level);
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
  if (!judgement || judgement->verdict != Verdict::mismatch
      || !has_coarse_logits(judgement->level)) {
    return judgement;
  }
  // Eager code in some frameworks keeps the scale itself in the dtype of the logits.
  const double rounded = round_to(judgement->dtypes.compute(), problem.softmax_scale);
  constexpr double k_telling = 0.1; // a fit that allows everything says nothing
  const std::optional<ScaleFit>& fit = judgement->fit;
  if (rounded == problem.softmax_scale || !fit || !fits(*fit, rounded)
      || fit->standard_error > k_telling * problem.softmax_scale) {
    return judgement;
  }
  reference::Problem coarse = problem;
  coarse.softmax_scale = rounded;
  auto again = judge_at(coarse, capture, options);
  if (!again || again->verdict != Verdict::match || !has_coarse_logits(again->level)) {
    return judgement; // a kernel that keeps its logits whole has no reason to round their scale
  }
  again->notes.push_back(
      fmt::format("the scale itself was rounded to {}, as the logits are", format_number(rounded)));
  if (again->fit) {
    again->fit->ratio = again->fit->softmax_scale / problem.softmax_scale;
  }
  return again;
}

} // namespace mla_scale::compare
