#include <mla_scale/diagnose/diagnose.hpp>
#include <mla_scale/diagnose/followed_bug.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/judged.hpp>
#include <mla_scale/diagnose/small_error.hpp>
#include <mla_scale/diagnose/suspects.hpp>

namespace mla_scale::diagnose {
namespace {

using compare::Verdict;

constexpr std::int64_t k_few_heads = 2;
constexpr std::int64_t k_few_logits = 100'000;

Options options_for(const compare::Judgement& judgement) {
  Options options;
  if (judgement.verdict != Verdict::mismatch) {
    options.heads = k_few_heads;
    options.logits = k_few_logits;
  }
  options.suspects = suspects_of(judgement);
  options.scale_bias = judgement.scale_bias;
  return options;
}

/// Tells what the judgement saw of probabilities that were cut; hypotheses know rounded ones.
void note_truncation(const compare::Judgement& judgement, Report& report) {
  if (judgement.verdict != Verdict::match || judgement.level != compare::Level::flash_cut) {
    return;
  }
  const auto* hypothesis = find_hypothesis("precision.truncated_probabilities");
  report.notes = {{std::string(hypothesis->id),
                   std::string(hypothesis->title),
                   {},
                   judgement.tensors.front().floor_ratio,
                   "out is as a kernel leaves it that cuts probabilities to the dtype",
                   std::string(hypothesis->look_at)}};
}

} // namespace

Result<Report> diagnose_judged(const reference::Problem& problem, const tensor::Capture& capture,
                               const Expectation& expectation,
                               const compare::Judgement& judgement) {
  auto report = diagnose(problem, capture, expectation, options_for(judgement));
  if (!report) {
    return report;
  }
  note_truncation(judgement, *report);
  if (judgement.verdict != Verdict::mismatch) {
    if (!follows_a_bug(judgement, *report)) {
      report->findings.clear();
    }
  } else if (report->findings.empty() && report->unexplained.empty()) {
    explain_small_error(expectation, judgement, *report);
  }
  return report;
}

} // namespace mla_scale::diagnose
