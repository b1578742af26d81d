#include <mla_scale/diagnose/explain_lse.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

namespace mla_scale::diagnose {

namespace {

std::vector<double> natural(std::span<const RowOutcome> outcomes) {
  std::vector<double> result;
  for (const auto& outcome : outcomes) {
    result.push_back(outcome.lse);
  }
  return result;
}

LseRule base_two(const std::vector<double>& lse, double factor, const std::string& text) {
  LseRule rule;
  rule.expected = lse;
  for (double& value : rule.expected) {
    value *= factor;
  }
  rule.parts.push_back({"lse.base2", {{"factor", factor}}, text});
  rule.text = text;
  rule.cost = 3.0;
  return rule;
}

/// lse' = c · lse + d · max, by least squares.
std::optional<LseRule> max_export(const Context& context, const Candidate& candidate,
                                  std::span<const RowOutcome> outcomes) {
  double xx = 0.0;
  double xy = 0.0;
  double aa = 0.0;
  double ab = 0.0;
  double bb = 0.0;
  double ay = 0.0;
  double by = 0.0;
  std::size_t count = 0;
  for (const auto& outcome : outcomes) {
    if (!outcome.has_lse) {
      continue;
    }
    const double got = context.sample.rows[outcome.index].lse;
    const double rest = got - outcome.lse;
    xx += outcome.maximum * outcome.maximum;
    xy += outcome.maximum * rest;
    const double log_sum = outcome.lse - outcome.maximum;
    aa += outcome.maximum * outcome.maximum;
    ab += outcome.maximum * log_sum;
    bb += log_sum * log_sum;
    ay += outcome.maximum * got;
    by += log_sum * got;
    ++count;
  }
  if (count < 4 || !(xx > 0.0)) {
    return std::nullopt;
  }
  const double d = xy / xx;
  const double determinant = aa * bb - ab * ab;
  const double a = determinant > 0.0 ? (bb * ay - ab * by) / determinant : 1.0;
  const double b = determinant > 0.0 ? (aa * by - ab * ay) / determinant : 1.0;
  LseRule rule;
  LseRule general;
  for (const auto& outcome : outcomes) {
    rule.expected.push_back(outcome.lse + d * outcome.maximum);
    general.expected.push_back(a * outcome.maximum + b * (outcome.lse - outcome.maximum));
  }
  const double scale =
      candidate.mechanism.scale > 0.0 ? candidate.mechanism.scale : context.reference.scale;
  rule.cost = 3.0 + k_cost_of_number;
  rule.effect = std::abs(d);
  rule.of_maximum = d;
  general.effect = std::abs(a / b - 1.0);
  general.of_maximum = a - b;
  rule.text = fmt::format("lse is off by {:.6g} times the row's largest logit", d);
  rule.parts.push_back(
      {"lse.max_export",
       {{"slope", d}, {"exported_scale", scale * (1.0 + d)}},
       rule.text + fmt::format(": the maximum was exported with scale {:.7g}", scale * (1.0 + d))});
  general.cost = 4.0 + 2.0 * k_cost_of_number;
  general.text = fmt::format("lse is {:.6g} · max + {:.6g} · (lse - max)", a, b);
  general.parts.push_back({"lse.max_export", {{"of_max", a}, {"of_log_sum", b}}, general.text});
  // A multiple of the whole lse says nothing of its maximum.
  constexpr double k_same_factor = 1e-3;
  if (std::abs(a - 1.0) > k_same_factor && std::abs(a / b - 1.0) < k_same_factor) {
    return std::nullopt;
  }
  if (std::abs(d) < 3e-5 && std::abs(a - 1.0) < 3e-5) {
    return std::nullopt; // A float32 kernel's own error.
  }
  if (lse_ratio(context.sample, outcomes, rule.expected, 1.0)
      <= 1.2 * lse_ratio(context.sample, outcomes, general.expected, 1.0)) {
    return rule;
  }
  return general;
}

} // namespace

std::vector<LseRule> lse_rules(const Context& context, const Candidate& candidate,
                               std::span<const RowOutcome> outcomes) {
  std::vector<LseRule> rules;
  rules.push_back({{}, "lse follows", 0.0, natural(outcomes), 1.0});
  for (const auto& alternative : candidate.lse) {
    LseRule rule{{}, alternative.text, 1.0, {}, 1.0};
    for (const auto& outcome : outcomes) {
      rule.expected.push_back(alternative.lse(context.sample.rows[outcome.index]));
    }
    rules.push_back(std::move(rule));
  }
  const auto direct = rules.size();
  for (std::size_t at = 0; at < direct; ++at) {
    rules.push_back(base_two(rules[at].expected, std::numbers::log2e,
                             "lse is log2 e = 1.442695 times the natural one in every row"));
    rules.push_back(base_two(rules[at].expected, std::numbers::ln2,
                             "lse is ln 2 times what its declared base wants in every row"));
  }
  if (auto rule = max_export(context, candidate, outcomes)) {
    rules.push_back(std::move(*rule));
  }
  return rules;
}

std::optional<double> lse_multiple(const Context& context, std::span<const RowOutcome> outcomes) {
  double xx = 0.0;
  double xy = 0.0;
  for (const auto& outcome : outcomes) {
    if (outcome.has_lse) {
      xx += outcome.lse * outcome.lse;
      xy += outcome.lse * context.sample.rows[outcome.index].lse;
    }
  }
  if (!(xx > 0.0)) {
    return std::nullopt;
  }
  const double factor = xy / xx;
  auto expected = natural(outcomes);
  for (double& value : expected) {
    value *= factor;
  }
  constexpr double k_largest_ratio = 20.0; // Errors of a healthy kernel, times the factor.
  return lse_ratio(context.sample, outcomes, expected, 1.0)
                 < k_largest_ratio * std::max(1.0, std::abs(factor))
             ? std::optional(factor)
             : std::nullopt;
}

std::vector<LseRule> transposed_lse(const Context& context, const Candidate& candidate,
                                    std::span<const RowOutcome> outcomes) {
  std::vector<LseRule> rules;
  const auto heads = context.capture.heads;
  const auto rows = context.capture.query_rows;
  if (heads < 2 || rows < 2 || candidate.direct || candidate.mechanism.bend
      || candidate.mechanism.logits || candidate.mechanism.values
      || candidate.mechanism.extra_mass) {
    return rules;
  }
  constexpr std::size_t k_most = 48;
  const std::size_t step = 1 + outcomes.size() / k_most;
  for (const bool written_by_rows : {true, false}) {
    std::vector<HeadRow> sources(outcomes.size(), {-1, -1});
    std::vector<HeadRow> needed;
    for (std::size_t at = 0; at < outcomes.size(); at += step) {
      const Row& row = context.sample.rows[outcomes[at].index];
      const auto flat = written_by_rows ? row.head * rows + row.row : row.row * heads + row.head;
      sources[at] =
          written_by_rows ? HeadRow{flat % heads, flat / heads} : HeadRow{flat / rows, flat % rows};
      needed.push_back(sources[at]);
    }
    std::sort(needed.begin(), needed.end());
    needed.erase(std::unique(needed.begin(), needed.end()), needed.end());
    const auto sample = make_sample(context.problem, context.capture, needed, {false, false});
    if (!sample) {
      continue;
    }
    const Predictor predictor(*sample, context.predictor.noise());
    std::map<HeadRow, double> lse;
    std::vector<double> logits;
    for (const auto& row : sample->rows) {
      predictor.logits(candidate.mechanism, row, logits);
      lse[{row.head, row.row}] = log_sum_exp(logits);
    }
    LseRule rule;
    for (const auto& source : sources) {
      const auto found = lse.find(source);
      rule.expected.push_back(found == lse.end() ? std::nan("") : found->second);
    }
    rule.cost = 4.0;
    rule.text = written_by_rows ? "lse was written as [T, H] and is read as [H, T]"
                                : "lse was written as [H, T] and is read as [T, H]";
    rule.parts.push_back({"lse.transposed", {}, rule.text});
    rules.push_back(std::move(rule));
  }
  return rules;
}

} // namespace mla_scale::diagnose
