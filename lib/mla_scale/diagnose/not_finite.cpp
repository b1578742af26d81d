#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/not_finite.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace mla_scale::diagnose {

namespace {

/// First of the rows that are not finite when they are the last rows of one sequence, two or more,
/// and nothing in them is finite.
std::optional<std::int64_t> first_of_tail(const reference::Problem& problem,
                                          const std::map<std::int64_t, std::int64_t>& elements) {
  const std::int64_t whole = std::ssize(problem.chosen_heads()) * problem.v_width();
  const auto first = elements.begin()->first;
  const auto last = elements.rbegin()->first;
  const bool complete = std::all_of(elements.begin(), elements.end(),
                                    [&](const auto& row) { return row.second == whole; });
  const bool without_gap = last - first + 1 == std::ssize(elements);
  const bool at_end = std::any_of(
      problem.sequences.begin(), problem.sequences.end(), [&](const tensor::Sequence& sequence) {
        return last == sequence.query_end - 1 && first > sequence.query_begin;
      });
  return complete && without_gap && at_end && last > first ? std::optional(first) : std::nullopt;
}

} // namespace

bool report_not_finite(const reference::Problem& problem, const tensor::Capture& capture,
                       const Expectation& /*expectation*/, Report& report) {
  if (!capture.out) {
    return true;
  }
  const auto width = capture.out->width;
  std::vector<double> values(static_cast<std::size_t>(width));
  std::int64_t nan = 0;
  std::int64_t infinite = 0;
  std::set<std::int64_t> rows;
  std::map<std::int64_t, std::int64_t> elements; // not finite, by row
  std::set<std::int64_t> heads;
  for (const auto row : problem.chosen_rows()) {
    for (const auto head : problem.chosen_heads()) {
      capture.out->read(row, head, 0, width, values.data());
      const auto nans =
          std::count_if(values.begin(), values.end(), [](double x) { return std::isnan(x); });
      const auto infinities =
          std::count_if(values.begin(), values.end(), [](double x) { return std::isinf(x); });
      if (nans + infinities > 0) {
        rows.insert(row);
        heads.insert(head);
        elements[row] += nans + infinities;
      }
      nan += nans;
      infinite += infinities;
    }
  }
  if (nan + infinite == 0) {
    return true;
  }
  const auto* hypothesis = find_hypothesis("output.nan");
  Finding finding;
  finding.id = "output.nan";
  finding.title = std::string(hypothesis->title);
  finding.see = std::string(hypothesis->look_at);
  finding.parameters = {{"nan", nan},
                        {"inf", infinite},
                        {"rows", std::ssize(rows)},
                        {"first_row", *rows.begin()},
                        {"last_row", *rows.rbegin()},
                        {"heads", std::ssize(heads)},
                        {"first_head", *heads.begin()}};
  finding.evidence = fmt::format(
      "{} NaN and {} infinities in out, in {} rows ({}..{}) and {} heads ({}..{})", nan, infinite,
      rows.size(), *rows.begin(), *rows.rbegin(), heads.size(), *heads.begin(), *heads.rbegin());
  if (const auto first = first_of_tail(problem, elements)) {
    const auto* tail = find_hypothesis("tail.uninitialised");
    report.findings.push_back(
        {"tail.uninitialised",
         std::string(tail->title),
         {{"axis", std::string("rows")}, {"first_row", *first}},
         0.0,
         fmt::format("rows from {} to the end of their sequence are NaN or infinite in every "
                     "element, no row before them is",
                     *first),
         std::string(tail->look_at)});
  }
  report.findings.push_back(std::move(finding));
  return false;
}

} // namespace mla_scale::diagnose
