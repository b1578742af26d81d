#include <mla_scale/diagnose/diagnose.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/judged.hpp>
#include <mla_scale/diagnose/named_scale.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace mla_scale::diagnose {
namespace {

using compare::k_many_errors;
using compare::Verdict;

constexpr std::int64_t k_few_heads = 2;
constexpr std::int64_t k_few_logits = 100'000;
/// Of a fitted scale: where it still is a named one.
constexpr double k_few_errors = 4.0;

/// (head, row) pairs where the comparison saw the largest errors, worst heads first.
std::vector<std::pair<std::int64_t, std::int64_t>>
suspects_of(const compare::Judgement& judgement) {
  std::vector<std::pair<std::int64_t, std::int64_t>> suspects;
  std::vector<std::pair<double, std::int64_t>> heads;
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    for (const compare::GroupError& group : tensor.by_head) {
      if (group.bad) {
        heads.emplace_back(-group.floor_ratio, group.first);
      }
    }
  }
  std::sort(heads.begin(), heads.end());
  for (const auto& [ratio, head] : heads) {
    for (const compare::TensorComparison& tensor : judgement.tensors) {
      if (!tensor.worst.empty()) {
        suspects.emplace_back(head, tensor.worst.front().index[0]);
        break;
      }
    }
  }
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    for (const compare::ElementDifference& worst : tensor.worst) {
      suspects.emplace_back(worst.index[1], worst.index[0]);
    }
  }
  return suspects;
}

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

/// Of a mismatch so small that no hypothesis is likelier than the expectation: what the
/// comparison's fit says.
void explain_small_error(const Expectation& expectation, const compare::Judgement& judgement,
                         Report& report) {
  const std::optional<compare::ScaleFit>& fit = judgement.fit;
  if (!fit || !fit->converged
      || std::abs(fit->softmax_scale - expectation.softmax_scale)
             < k_many_errors * fit->standard_error) {
    report.unexplained =
        "the error is larger than a healthy kernel's, and too small to show which bug made it";
    return;
  }
  const std::string evidence =
      fmt::format("fitted scale {:.7g} ± {:.1g} from {}; the error is too small to show more",
                  fit->softmax_scale, fit->standard_error, fit->from);
  const auto append = [&](const std::string& id, double scale, const std::string& formula) {
    const auto* hypothesis = find_hypothesis(id);
    report.findings.push_back(
        {id, std::string(hypothesis->title),
         scale_parameters({scale, expectation.softmax_scale, formula,
                           FittedScale{fit->softmax_scale, fit->standard_error}}),
         report.null_ratio, evidence + engines_that_compute(expectation, scale),
         std::string(hypothesis->look_at)});
  };
  const auto distance = [&](const ScaleCandidate& candidate) {
    return std::abs(candidate.value - fit->softmax_scale);
  };
  auto candidates = scale_candidates(expectation);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  for (const ScaleCandidate& candidate : candidates) {
    const bool known = std::any_of(report.findings.begin(), report.findings.end(),
                                   [&](const Finding& one) { return one.id == candidate.id; });
    if (!known && distance(candidate) < k_few_errors * fit->standard_error) {
      append(candidate.id, candidate.value, candidate.formula);
    }
  }
  if (report.findings.empty()) {
    append("scale.other", fit->softmax_scale, "");
  }
}

/// True when the lse of a match follows a bug far better than chance: few rows of absorbed decode
/// may lack a key of small probability within what rounding the query may do. Only of bugs of which
/// keys take part, which have no real number to fit.
bool follows_a_bug(const compare::Judgement& judgement, const Report& report) {
  constexpr double k_clearly = 0.05;
  if (judgement.verdict != Verdict::match || report.findings.empty()) {
    return false;
  }
  const std::string& id = report.findings.front().id;
  if (!id.starts_with("mask.") && !id.starts_with("pages.") && id != "merge.context_dropped") {
    return false;
  }
  const auto considered = [&](const std::vector<std::string>& ids) {
    return std::find_if(report.considered.begin(), report.considered.end(),
                        [&](const Considered& one) { return one.ids == ids; });
  };
  const auto bug = considered({id});
  const auto expected = considered({});
  return bug != report.considered.end() && expected != report.considered.end()
         && bug->lse_ratio < k_clearly * expected->lse_ratio;
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
