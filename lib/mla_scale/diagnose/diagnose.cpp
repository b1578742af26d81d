#include <mla_scale/diagnose/answer.hpp>
#include <mla_scale/diagnose/choose_rows.hpp>
#include <mla_scale/diagnose/compose.hpp>
#include <mla_scale/diagnose/considered.hpp>
#include <mla_scale/diagnose/context.hpp>
#include <mla_scale/diagnose/diagnose.hpp>
#include <mla_scale/diagnose/explain_lse.hpp>
#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/findings.hpp>
#include <mla_scale/diagnose/not_finite.hpp>
#include <mla_scale/diagnose/not_identifiable.hpp>
#include <mla_scale/diagnose/places.hpp>

#include <fmt/format.h>

#include <set>

namespace mla_scale::diagnose {

namespace {

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
    constexpr std::size_t k_fewest_affected = 8;
    if (part.rows.size() < k_fewest_affected) {
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
