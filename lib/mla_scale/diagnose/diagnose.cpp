#include <mla_scale/diagnose/choose_rows.hpp>
#include <mla_scale/diagnose/compose.hpp>
#include <mla_scale/diagnose/considered.hpp>
#include <mla_scale/diagnose/context.hpp>
#include <mla_scale/diagnose/diagnose.hpp>
#include <mla_scale/diagnose/explain_lse.hpp>
#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/not_finite.hpp>
#include <mla_scale/diagnose/not_identifiable.hpp>
#include <mla_scale/diagnose/places.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace mla_scale::diagnose {

namespace {

/// Log-likelihood by which a finding must beat the expectation, per identifier.
constexpr double k_evidence_needed = 25.0;
constexpr double k_coarse_evidence_needed = 75.0;
/// Explanations this much worse than the best are no rivals.
constexpr double k_rival_margin = 8.0;

std::vector<std::size_t> all_rows(const Sample& sample) {
  std::vector<std::size_t> rows(sample.rows.size());
  for (std::size_t at = 0; at < rows.size(); ++at) {
    rows[at] = at;
  }
  return rows;
}

/// explain(), of long sequences on the short rows first: a scale is as wrong in them as in rows of
/// a hundred thousand keys, where each candidate costs a hundred times as much.
std::vector<Explanation> explain_short_rows_first(const Context& context) {
  if (const auto brief = on_short_rows(context)) {
    if (auto explanations = explain_linearly(*brief); !explanations.empty()) {
      return explanations;
    }
  }
  return explain(context);
}

Finding finding_of(const Part& part, const Explanation& explanation, std::string where) {
  Finding finding;
  finding.id = part.id;
  const auto* hypothesis = find_hypothesis(part.id);
  finding.title = hypothesis != nullptr ? std::string(hypothesis->title) : part.id;
  finding.see = hypothesis != nullptr ? std::string(hypothesis->look_at) : "";
  finding.parameters = part.parameters;
  const auto& score = explanation.score;
  finding.residual_ratio = score.out_ratio > 0.0 ? score.out_ratio : score.lse_ratio;
  finding.evidence = part.evidence;
  if (score.out_ratio > 0.0) {
    finding.evidence +=
        fmt::format("; out within {:.2f} of a healthy kernel's rounding over {} rows",
                    score.out_ratio, score.rows);
  }
  if (!explanation.lse_text.empty()) {
    finding.evidence += fmt::format("; {} within {:.2f}", explanation.lse_text, score.lse_ratio);
  } else if (!explanation.lse_explained) {
    finding.evidence += "; lse is not explained";
  }
  finding.evidence += where;
  return finding;
}

void append_findings(const Explanation& explanation, const std::string& where, Report& report) {
  const auto append = [&](const Part& part) {
    const bool known = std::any_of(report.findings.begin(), report.findings.end(),
                                   [&](const Finding& finding) { return finding.id == part.id; });
    if (!known) {
      report.findings.push_back(finding_of(part, explanation, where));
    }
  };
  for (const auto& part : explanation.candidate.parts) {
    append(part);
  }
  for (const auto& part : explanation.lse_parts) {
    append(part);
  }
}

/// The other names of the first finding's scale: no capture of this model can tell them apart.
void append_ties(const Context& context, Report& report) {
  const auto first = report.findings.front();
  if (!first.id.starts_with("scale.") || first.id == "scale.other") {
    return;
  }
  const auto found = std::find_if(first.parameters.begin(), first.parameters.end(),
                                  [](const auto& one) { return one.name == "softmax_scale"; });
  const double* value =
      found == first.parameters.end() ? nullptr : std::get_if<double>(&found->value);
  for (const auto& named : scale_candidates(context.expectation)) {
    if (value == nullptr || named.id == first.id || std::abs(named.value / *value - 1.0) > 1e-9) {
      continue;
    }
    const auto* hypothesis = find_hypothesis(named.id);
    auto tie = first;
    tie.id = named.id;
    tie.title = std::string(hypothesis->title);
    tie.see = std::string(hypothesis->look_at);
    for (auto& parameter : tie.parameters) {
      if (parameter.name == "formula") {
        parameter.value = named.formula;
      }
    }
    tie.evidence = fmt::format("the same number as {} in this model: no capture can tell them "
                               "apart, only the code; {}",
                               first.id, first.evidence);
    report.findings.push_back(std::move(tie));
  }
}

/// True when `simple` leaves as little as `best`: then fewer free numbers win.
bool as_good(const Explanation& simple, const Explanation& best) {
  const auto& a = simple.score;
  const auto& b = best.score;
  // In float32 lse tells what out is too coarse for. Not of scales: a fit takes up what the
  // kernel's own float32 scale is off by, a closed form does not.
  constexpr double k_much_likelier = 100.0;
  const bool scale =
      !simple.candidate.parts.empty() && simple.candidate.parts.front().id.starts_with("scale.");
  if (!scale && simple.parts() == best.parts() && b.coarseness <= 0.1
      && a.lse_ratio > 2.0 * b.lse_ratio && best.total > simple.total + k_much_likelier) {
    return false;
  }
  return simple.lse_explained == best.lse_explained
         && a.out_ratio <= std::max(1.0, 1.08 * b.out_ratio + 0.02)
         && a.fine_ratio <= std::max(1.0, 1.08 * b.fine_ratio + 0.02)
         && a.lse_ratio <= std::max(1.5, 1.5 * b.lse_ratio);
}

/// True when two explanations say the same of every row: then the capture cannot decide.
bool same_prediction(const Explanation& a, const Explanation& b) {
  return std::abs(a.score.likelihood - b.score.likelihood) <= 1e-9 * std::abs(b.score.likelihood)
         && a.candidate.parts.front().id != b.candidate.parts.front().id;
}

/// The likeliest explanation that holds, or a simpler one that leaves as little.
const Explanation* best_that_holds(const Context& context,
                                   const std::vector<Explanation>& explanations) {
  const auto best =
      std::find_if(explanations.begin(), explanations.end(),
                   [&](const Explanation& explanation) { return holds(context, explanation); });
  if (best == explanations.end() || best->parts() == 0) {
    return best == explanations.end() ? nullptr : &*best;
  }
  const Explanation* chosen = &*best;
  for (const auto& other : explanations) {
    if (other.parts() > 0 && other.parts() <= chosen->parts() && other.cost() < chosen->cost()
        && as_good(other, *best) && holds(context, other)) {
      chosen = &other;
    }
  }
  return chosen;
}

const Explanation& expectation_among(const std::vector<Explanation>& explanations) {
  return *std::find_if(explanations.begin(), explanations.end(),
                       [](const Explanation& one) { return one.candidate.parts.empty(); });
}

/// The answer when one explanation holds everywhere; true when it does.
bool answer(const Context& context, const std::vector<Explanation>& explanations,
            const std::string& where, Report& report) {
  const auto* best = best_that_holds(context, explanations);
  if (best == nullptr) {
    return false;
  }
  const auto& null = expectation_among(explanations);
  const bool null_holds = holds(context, null) && null.lse_explained;
  // The errors of rounded logits are no Gaussian noise: more must speak against them.
  const double needed = (null.score.coarseness > 0.1 ? k_coarse_evidence_needed : k_evidence_needed)
                        * static_cast<double>(std::max<std::size_t>(1, best->parts()));
  if (null_holds && null.parts() == 0 && best->total < null.total + needed) {
    report.healthy = true;
    return true;
  }
  if (best->parts() == 0) {
    // Out is as expected; lse is not, and nothing explains it.
    return false;
  }
  append_findings(*best, where, report);
  append_ties(context, report);
  // A fit tells scales apart, where it is precise.
  constexpr double k_precise = 2e-3;
  const bool scale =
      (best->candidate.parts.empty() || best->candidate.parts.front().id.starts_with("scale."))
      && best->candidate.distance_error < k_precise;
  for (const auto& rival : explanations) {
    if (&rival != best && !rival.candidate.parts.empty() && !best->candidate.parts.empty()
        && (rival.total > best->total - k_rival_margin || as_good(rival, *best))
        && rival.parts() <= best->parts()
        && (rival.cost() <= best->cost() + 2.5 || same_prediction(rival, *best))
        && !(scale && !rival.candidate.parts.empty()
             && rival.candidate.parts.front().id.starts_with("scale."))
        && holds(context, rival)) {
      append_findings(rival, where, report);
    }
  }
  if (report.findings.size() == 1) { // found alone: this capture does identify it
    std::erase_if(report.not_identifiable,
                  [&](const NotIdentifiable& row) { return row.id == report.findings.front().id; });
  }
  return true;
}

/// NaN in exactly the rows that, by the explanation, see no key needs no finding of its own.
void drop_explained_nan(const Context& context, const std::vector<Explanation>& explanations,
                        Report& report) {
  if (report.findings.size() < 2 || report.findings.front().id != "output.nan") {
    return;
  }
  const auto* best = best_that_holds(context, explanations);
  for (const Row& row : context.sample.rows) {
    if (!row.has_out && context.predictor.predict(best->candidate.mechanism, row).defined) {
      return;
    }
  }
  report.findings.erase(report.findings.begin());
}

void note_precision(const Explanation& null, bool bf16, Report& report) {
  if (report.healthy && null.score.coarseness >= 0.35) {
    const auto* hypothesis = find_hypothesis("precision.bf16_logits");
    report.notes.push_back(
        {"precision.bf16_logits",
         std::string(hypothesis->title),
         {{"coarseness", null.score.coarseness}},
         null.score.fine_ratio,
         fmt::format(
             "error {:.2g} times that of a kernel with float32 logits, as logits rounded to "
             "{} give",
             null.score.fine_ratio, bf16 ? "bf16" : "the dtype"),
         std::string(hypothesis->look_at)});
  }
}

} // namespace

Result<Report> diagnose(const reference::Problem& posed, const tensor::Capture& capture,
                        const Expectation& expectation, const Options& options) {
  Report report;
  reference::Problem problem = posed;
  if (problem.form == reference::Form::absorbed) {
    problem.form = reference::Form::latent; // The same numbers, with nope and rope parts apart.
  }
  auto pairs = choose_rows(problem, options.heads, options.logits, options.suspects);
  auto made = make_sample(problem, capture, pairs);
  if (!made) {
    return made.error();
  }
  const Sample& sample = *made;
  const Predictor predictor(sample, noise_of(capture, problem.form != reference::Form::expanded));
  report.sampled_rows = std::ssize(sample.rows);
  report.not_identifiable = not_identifiable(problem, capture, expectation);
  std::set<std::int64_t> heads;
  for (const auto& row : sample.rows) {
    heads.insert(row.head);
  }
  report.sampled_heads = std::ssize(heads);

  const bool finite = report_not_finite(problem, capture, expectation, report);
  if (!sample.any_out && !sample.any_lse) {
    return report;
  }
  const auto context = make_context(problem, capture, expectation, sample, predictor,
                                    all_rows(sample), options.scale_bias);
  const auto explanations = explain_short_rows_first(context);
  if (explanations.empty()) {
    return report; // No row that the reference defines has an output.
  }
  report.considered = considered(context, explanations);
  const auto& null = expectation_among(explanations);
  report.null_ratio = null.score.out_ratio > 0.0 ? null.score.out_ratio : null.score.lse_ratio;
  if (answer(context, explanations, "", report)) {
    drop_explained_nan(context, explanations, report);
    report.healthy = report.healthy && finite;
    note_precision(null, is_bf16(capture), report);
    return report;
  }
  if (sample.any_out && holds(context, null)) {
    report.unexplained = "out is as expected; lse is not, and no known bug explains it";
    const auto expected = outcomes(
        sample, [&](const Row& row) { return predictor.predict(context.reference, row); },
        context.rows);
    if (const auto factor = lse_multiple(context, expected)) {
      report.unexplained +=
          fmt::format(": it is {:.7g} times the natural one in every row, which is no base that "
                      "kernels use (base 2 is 1.442695)",
                      *factor);
    }
    return report;
  }
  // Some rows may be right: what explains the others?
  for (const auto& part : affected_parts(context)) {
    const auto part_context = make_context(problem, capture, expectation, sample, predictor,
                                           part.rows, options.scale_bias);
    constexpr std::size_t k_fewest_rows = 8;
    if (part.rows.size() < k_fewest_rows) {
      continue;
    }
    const auto explained = explain(part_context);
    if (!explained.empty() && answer(part_context, explained, "; only " + part.text, report)
        && !report.findings.empty()) {
      report.considered = considered(part_context, explained);
      report.healthy = false;
      return report;
    }
    report.healthy = false;
  }
  auto composed = explain_composed(context);
  composed.push_back(null);
  if (answer(context, composed, "", report)) {
    report.considered = considered(context, composed);
    return report;
  }
  describe_unexplained(context, report);
  return report;
}

} // namespace mla_scale::diagnose
