#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/places.hpp>
#include <mla_scale/diagnose/score.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace mla_scale::diagnose {

namespace {

/// A row this far from the expectation, in healthy kernels' errors, is wrong.
constexpr double k_wrong = 12.0;

struct Marked {
  std::vector<std::size_t> wrong;
  std::vector<std::size_t> right;
  std::vector<RowOutcome> outcomes;
};

double ratio_of(const Sample& sample, const RowOutcome& outcome) {
  if (outcome.has_out) {
    return std::sqrt(outcome.out_squared / (outcome.fine + outcome.coarse));
  }
  const double error = sample.rows[outcome.index].lse - outcome.lse;
  return std::abs(error) / std::sqrt(outcome.lse_fine + outcome.lse_coarse);
}

Marked mark(const Context& context) {
  Marked marked;
  marked.outcomes = outcomes(
      context.sample,
      [&](const Row& row) { return context.predictor.predict(context.reference, row); },
      context.rows);
  for (const auto& outcome : marked.outcomes) {
    (ratio_of(context.sample, outcome) > k_wrong ? marked.wrong : marked.right)
        .push_back(outcome.index);
  }
  return marked;
}

template <typename Key>
std::string list(const std::set<Key>& values) {
  std::string text;
  for (const auto& value : values) {
    if (text.size() > 60) {
      return text + ", ...";
    }
    text += fmt::format("{}{}", text.empty() ? "" : ", ", value);
  }
  return text;
}

/// Cuts by a property of rows: the values for which nearly all rows are wrong.
template <typename Property>
void cut_by(const Context& context, const Marked& marked, const std::string& name,
            Property property, std::vector<AffectedPart>& parts) {
  using Key = decltype(property(context.sample.rows[0]));
  std::map<Key, std::pair<std::size_t, std::size_t>> counts; // wrong, all
  for (const auto index : marked.wrong) {
    const auto key = property(context.sample.rows[index]);
    ++counts[key].first;
    ++counts[key].second;
  }
  for (const auto index : marked.right) {
    ++counts[property(context.sample.rows[index])].second;
  }
  std::set<Key> affected;
  std::size_t explained = 0;
  for (const auto& [key, count] : counts) {
    if (count.first * 10 > count.second) {
      affected.insert(key);
      explained += count.first;
    }
  }
  if (affected.empty() || affected.size() == counts.size() || explained != marked.wrong.size()) {
    return;
  }
  AffectedPart part;
  part.text = name + " " + list(affected);
  for (const auto index : context.rows) {
    if (affected.contains(property(context.sample.rows[index]))) {
      part.rows.push_back(index);
    }
  }
  parts.push_back(std::move(part));
}

Finding tail_finding(std::string evidence, std::vector<Parameter> parameters, double ratio) {
  const auto* hypothesis = find_hypothesis("tail.uninitialised");
  return {"tail.uninitialised", std::string(hypothesis->title),  std::move(parameters), ratio,
          std::move(evidence),  std::string(hypothesis->look_at)};
}

/// Wrong rows at the end of sequences, everything before them right.
bool tail_of_rows(const Context& context, const Marked& marked, Report& report) {
  const auto& sample = context.sample;
  std::map<std::size_t, std::size_t> first_wrong; // by sequence
  std::set<std::int64_t> heads;
  for (const auto index : marked.wrong) {
    const Row& row = sample.rows[index];
    heads.insert(row.head);
    const auto found = first_wrong.find(row.sequence);
    if (found == first_wrong.end() || row.local < found->second) {
      first_wrong[row.sequence] = row.local;
    }
  }
  for (const auto& outcome : marked.outcomes) {
    const Row& row = sample.rows[outcome.index];
    const auto found = first_wrong.find(row.sequence);
    const bool in_tail =
        found != first_wrong.end() && row.local >= found->second && heads.contains(row.head);
    if (in_tail && ratio_of(sample, outcome) <= k_wrong) {
      return false;
    }
  }
  for (const auto& wrong : first_wrong) {
    const std::size_t sequence = wrong.first;
    const std::size_t first = wrong.second;
    const auto queries = std::find_if(sample.rows.begin(), sample.rows.end(), [&](const Row& row) {
                           return row.sequence == sequence;
                         })->queries;
    if (4 * first < queries) {
      return false;
    }
  }
  if (first_wrong.empty()) {
    return false;
  }
  const auto [sequence, first] = *first_wrong.begin();
  report.findings.push_back(tail_finding(
      fmt::format("rows from {} to the end of their sequence are wrong in {} sampled heads, all "
                  "before them within a healthy kernel's rounding",
                  first, heads.size()),
      {{"axis", std::string("rows")},
       {"first_row", static_cast<std::int64_t>(first)},
       {"sequence", static_cast<std::int64_t>(sequence)}},
      report.null_ratio));
  return true;
}

/// Columns from some column on are wrong in every row.
bool tail_of_columns(const Context& context, Report& report) {
  const auto& sample = context.sample;
  const auto width = sample.width;
  std::vector<double> error(width, 0.0);
  std::vector<double> healthy(width, 0.0);
  for (const auto index : context.rows) {
    const Row& row = sample.rows[index];
    if (!row.has_out) {
      continue;
    }
    const auto prediction = context.predictor.predict(context.reference, row);
    if (!prediction.defined) {
      continue;
    }
    const auto got = sample.out_of(index);
    for (std::size_t column = 0; column < width; ++column) {
      const double difference = got[column] - prediction.out[column];
      const double floor = (prediction.fine + prediction.coarse) / static_cast<double>(width);
      error[column] += difference * difference / floor;
      healthy[column] += 1.0;
    }
  }
  std::size_t first = width;
  for (std::size_t column = width; column-- > 0;) {
    if (healthy[column] == 0.0 || error[column] / healthy[column] < k_wrong * k_wrong) {
      break;
    }
    first = column;
  }
  for (std::size_t column = 0; column < first; ++column) {
    if (error[column] / healthy[column] >= 9.0) {
      return false;
    }
  }
  if (first == 0 || first == width) {
    return false;
  }
  report.findings.push_back(tail_finding(
      fmt::format("columns {}..{} of out are wrong in all rows, the others within rounding", first,
                  width - 1),
      {{"axis", std::string("columns")}, {"first_column", static_cast<std::int64_t>(first)}},
      report.null_ratio));
  return true;
}

} // namespace

std::vector<AffectedPart> affected_parts(const Context& context) {
  const auto marked = mark(context);
  std::vector<AffectedPart> parts;
  if (marked.wrong.empty() || marked.right.size() * 20 < marked.outcomes.size()) {
    return parts;
  }
  cut_by(
      context, marked, "sequence", [](const Row& row) { return row.sequence; }, parts);
  cut_by(
      context, marked, "head", [](const Row& row) { return row.head; }, parts);
  // Rows from a place on, or up to one.
  std::size_t first = std::numeric_limits<std::size_t>::max();
  std::size_t last = 0;
  for (const auto index : marked.wrong) {
    first = std::min(first, context.sample.rows[index].local);
    last = std::max(last, context.sample.rows[index].local);
  }
  AffectedPart later;
  later.text = fmt::format("rows {} and later", first);
  AffectedPart earlier;
  earlier.text = fmt::format("rows up to {}", last);
  for (const auto index : context.rows) {
    const auto local = context.sample.rows[index].local;
    if (local >= first) {
      later.rows.push_back(index);
    }
    if (local <= last) {
      earlier.rows.push_back(index);
    }
  }
  for (auto* part : {&later, &earlier}) {
    if (part->rows.size() < context.rows.size()) {
      parts.push_back(std::move(*part));
    }
  }
  return parts;
}

void describe_unexplained(const Context& context, Report& report) {
  const auto marked = mark(context);
  if (tail_of_rows(context, marked, report)
      || (context.sample.any_out && tail_of_columns(context, report))) {
    return;
  }
  if (!report.findings.empty()) {
    return; // NaN is the answer; the rest of the rows may well be right.
  }
  std::map<std::int64_t, std::vector<const RowOutcome*>> by_head;
  const RowOutcome* worst = nullptr;
  const RowOutcome* smallest = nullptr;
  const auto& rows = context.sample.rows;
  for (const auto& outcome : marked.outcomes) {
    by_head[rows[outcome.index].head].push_back(&outcome);
    const double ratio = ratio_of(context.sample, outcome);
    if (worst == nullptr || ratio > ratio_of(context.sample, *worst)) {
      worst = &outcome;
    }
    if (ratio > k_wrong
        && (smallest == nullptr || rows[outcome.index].visible < rows[smallest->index].visible)) {
      smallest = &outcome;
    }
  }
  constexpr std::size_t k_buckets = 8;
  for (const auto& [head, of_head] : by_head) {
    for (std::size_t bucket = 0; bucket < std::min(k_buckets, of_head.size()); ++bucket) {
      const auto count = std::min(k_buckets, of_head.size());
      const auto begin = bucket * of_head.size() / count;
      const auto end = (bucket + 1) * of_head.size() / count;
      double sum = 0.0;
      for (std::size_t at = begin; at < end; ++at) {
        const double ratio = ratio_of(context.sample, *of_head[at]);
        sum += ratio * ratio;
      }
      report.map.push_back({head, rows[of_head[begin]->index].row,
                            rows[of_head[end - 1]->index].row,
                            std::sqrt(sum / static_cast<double>(end - begin))});
    }
  }
  if (worst == nullptr) {
    report.unexplained = "no row could be compared";
    return;
  }
  report.unexplained = fmt::format(
      "no known bug explains the capture: {} of {} sampled rows are off by more than {:g} times a "
      "healthy kernel's error; the worst is head {}, row {} ({:.3g} times)",
      marked.wrong.size(), marked.outcomes.size(), k_wrong, rows[worst->index].head,
      rows[worst->index].row, ratio_of(context.sample, *worst));
  if (!context.capture.q_pre || !context.capture.k_pe_pre) {
    report.unexplained += "; an error of RoPE is upstream of attention and not seen here: dump "
                          "q_pre, k_pe_pre and positions to test it";
  }
  if (smallest != nullptr) {
    report.unexplained += fmt::format(
        "; the smallest slice that shows it is head {}, row {}, with {} keys",
        rows[smallest->index].head, rows[smallest->index].row, rows[smallest->index].visible);
  }
}

} // namespace mla_scale::diagnose
