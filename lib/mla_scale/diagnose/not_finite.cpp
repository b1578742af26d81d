#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/not_finite.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace mla_scale::diagnose {

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
  report.findings.push_back(std::move(finding));
  return false;
}

} // namespace mla_scale::diagnose
