#pragma once

#include <mla_scale/check/check.hpp>
#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/inspection.hpp>
#include <mla_scale/report/style.hpp>

#include <string>

namespace mla_scale::report {

/// A judged capture with what its report needs beside it.
struct CheckReport {
  Inspection model;
  check::Check check;
  std::string repro;    ///< the command that gives this report again
  bool timings = false; ///< print seconds and gflops, which differ from run to run
};

/// The JSON report of `check`.
[[nodiscard]] std::string check_json(const CheckReport& report);

/// The members of `check` in JSON, without braces and without the model, for `inspect --check`.
void write_check(json::Writer& writer, const CheckReport& report);

/// The JSON report of `inspect --check`: that of `inspect` with the members of `check` behind it.
[[nodiscard]] std::string inspect_check_json(const CheckReport& report);

/// The text report of `check`: verdict, why, where, what was measured, the diagnosis, and the
/// command that reproduces it.
[[nodiscard]] std::string check_text(const CheckReport& report, const TerminalStyle& style);

/// The JUnit report of `check`: one test case a tensor, and one for the verdict.
[[nodiscard]] std::string check_junit(const CheckReport& report);

/// A self-contained page for a browser and for paper: verdict and diagnosis first, then the figures
/// and numbers behind them. Loads nothing.
[[nodiscard]] std::string check_html(const CheckReport& report);

/// Heads (down) against positions (across) as characters: '.' at the floor, '+' up to 4 floors,
/// 'x' up to 30, '#' above, '!' not finite, ' ' nothing there. More heads than fit in `lines` share
/// a line, which shows the worst. Empty when there is nothing to show.
[[nodiscard]] std::string check_map(const compare::TensorComparison& tensor, int lines,
                                    const TerminalStyle& style);

} // namespace mla_scale::report
