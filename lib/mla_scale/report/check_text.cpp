#include <mla_scale/core/text.hpp>
#include <mla_scale/report/check_report.hpp>
#include <mla_scale/report/parameters.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::report {
namespace {

using compare::Status;
using compare::TensorComparison;
using compare::Verdict;

constexpr int k_map_lines = 16;
constexpr std::size_t k_shown_reasons = 6;
constexpr std::size_t k_shown_findings = 3;

/// Lines below one label.
std::string block(std::string_view label, const std::vector<std::string>& texts,
                  const TerminalStyle& style) {
  std::string result;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    result += labelled(i == 0 ? label : "", escape_control(texts[i]), style);
  }
  return result;
}

/// The end of a path too long for a line: what precedes it is in the repro line.
std::string shortened(std::string path, const TerminalStyle& style) {
  const auto room = static_cast<std::size_t>(std::max(style.width - k_label_columns - 8, 24));
  if (path.size() <= room) {
    return path;
  }
  std::size_t first = path.size() - room;
  while (first < path.size() && (static_cast<unsigned char>(path[first]) & 0xC0U) == 0x80U) {
    ++first; // never within a character
  }
  return "..." + path.substr(first);
}

std::string shape(const std::vector<std::int64_t>& all, std::int64_t count, std::string_view what) {
  return static_cast<std::int64_t>(all.size()) == count || all.empty()
             ? fmt::format("{} {}", count, what)
             : fmt::format("{} of {} {}", all.size(), count, what);
}

std::string headline(const CheckReport& report, const TerminalStyle& style) {
  const compare::Judgement& judgement = report.check.judgement;
  const diagnose::Report& diagnosis = report.check.diagnosis;
  switch (judgement.verdict) {
  case Verdict::match:
    return hanging(style.good("MATCH") + "  ", 7,
                   fmt::format("the kernel computed attention with softmax scale {}, within the "
                               "rounding of a healthy kernel",
                               format_number(report.check.softmax_scale)),
                   style.width);
  case Verdict::inconclusive:
    return hanging(style.warn("INCONCLUSIVE") + "  ", 14,
                   judgement.reasons.empty() ? "" : escape_control(judgement.reasons.front()),
                   style.width);
  case Verdict::mismatch:
    break;
  }
  std::string what;
  if (!diagnosis.findings.empty()) {
    what = fmt::format("{}: {}", diagnosis.findings.front().id, diagnosis.findings.front().title);
  } else if (report.check.options.diagnose) {
    what = "no known bug explains the error";
  } else {
    what = "the error is more than rounding";
  }
  return hanging(style.bad("MISMATCH") + "  ", 10, escape_control(what), style.width);
}

std::string capture_line(const check::Check& check, const TerminalStyle& style) {
  const tensor::Capture& capture = check.capture;
  std::vector<std::string> files;
  for (const std::string& file : capture.files) {
    const std::size_t slash = file.rfind('/');
    files.push_back(shortened(
        escape_control(slash == std::string::npos ? file : file.substr(slash + 1)), style));
  }
  constexpr std::size_t k_most_files = 4;
  std::string names = fmt::format(
      "{}",
      fmt::join(files.begin(),
                files.begin() + static_cast<std::ptrdiff_t>(std::min(files.size(), k_most_files)),
                ", "));
  if (files.size() > k_most_files) {
    names += fmt::format(" and {} more", files.size() - k_most_files);
  }
  std::string text = fmt::format(
      "{}: {}, {}, {} key rows, {}, {}", names, shape(check.heads, capture.heads, "heads"),
      shape(check.rows, capture.query_rows, "query rows"), capture.key_rows,
      tensor::to_string(check.judgement.dtypes.input), capture.level);
  if (capture.sequences.size() > 1) {
    text += fmt::format(", {} sequences", capture.sequences.size());
  }
  return text;
}

std::string place_of_element(const TensorComparison& tensor,
                             const compare::ElementDifference& element) {
  return tensor.name == "lse" ? fmt::format("row {}, head {}", element.index[0], element.index[1])
                              : fmt::format("row {}, head {}, column {}", element.index[0],
                                            element.index[1], element.index[2]);
}

std::string tensor_line(const TensorComparison& tensor, const TerminalStyle& style) {
  const std::string status(compare::to_string(tensor.status));
  const bool fine = tensor.status == Status::match;
  const std::string painted = fine                                 ? style.good(status)
                              : compare::is_failure(tensor.status) ? style.bad(status)
                                                                   : style.warn(status);
  if (tensor.status == Status::not_judged
      || tensor.sums.count + tensor.sums.nan + tensor.sums.inf == 0) {
    return labelled(tensor.name, painted, style);
  }
  std::string text = fmt::format(
      "calc_diff {:.2g}, relative rms {:.2g}, max abs {:.3g}; worst group {:.3g} floors",
      tensor.sums.calc_diff(), tensor.sums.relative_rms(), tensor.sums.max_abs, tensor.floor_ratio);
  if (!tensor.sums.finite()) {
    text = fmt::format("{} NaN, {} infinite; {}", tensor.sums.nan, tensor.sums.inf, text);
  }
  std::string result = hanging(
      "  " + style.dim(fmt::format("{:<{}}", tensor.name, k_label_columns)) + painted + "  ",
      k_label_columns + 4 + static_cast<int>(status.size()), text, style.width);
  if (!fine && !tensor.worst.empty()) {
    const compare::ElementDifference& worst = tensor.worst.front();
    result += labelled("",
                       fmt::format("worst at {}: got {:.6g}, expected {:.6g}",
                                   place_of_element(tensor, worst), worst.got, worst.expected),
                       style);
  }
  return result;
}

/// What the positions of the map are in rows, by which everything else is named; empty where the
/// two are the same.
std::string positions_in_rows(const TensorComparison& tensor,
                              const std::vector<tensor::Sequence>& sequences) {
  if (sequences.size() > 1) {
    return "positions count within a sequence, rows through all of them";
  }
  if (sequences.empty() || tensor.by_position.empty()) {
    return "";
  }
  const tensor::Sequence& only = sequences.front();
  const std::int64_t prefix = (only.key_end - only.key_begin) - (only.query_end - only.query_begin);
  const std::int64_t first = tensor.by_position.front().first;
  const std::int64_t last = tensor.by_position.back().last;
  if (prefix <= 0 || first < prefix) {
    return "";
  }
  return fmt::format("positions {}..{} = rows {}..{}", first, last, first - prefix, last - prefix);
}

/// The map of the tensor that is wrong, out first.
std::string where(const check::Check& check, const TerminalStyle& style) {
  for (const TensorComparison& tensor : check.judgement.tensors) {
    if (!compare::is_failure(tensor.status)) {
      continue;
    }
    const std::string map = check_map(tensor, k_map_lines, style);
    const std::string rows = positions_in_rows(tensor, check.capture.sequences);
    if (!map.empty()) {
      return labelled(
                 "where",
                 fmt::format("error of {} against the floor, a healthy kernel's: . at it, + up to "
                             "4 times, x up to "
                             "30, # above, ! not finite",
                             tensor.name),
                 style)
             + (rows.empty() ? "" : labelled("", rows, style)) + map;
    }
  }
  return "";
}

std::string scale_lines(const check::Check& check, const TerminalStyle& style) {
  const compare::Judgement& judgement = check.judgement;
  std::string text =
      labelled("expected",
               fmt::format("{}  softmax scale {}", format_number(check.softmax_scale),
                           check.options.softmax_scale
                               ? std::string("given by --scale")
                               : fmt::format("of the model, {}", to_string(check.options.phase))),
               style);
  if (judgement.fit) {
    const compare::ScaleFit& fit = *judgement.fit;
    text += labelled("measured",
                     fmt::format("{:.9g} ± {:.1g}  from {}: {:.7g} times the expected{}",
                                 fit.softmax_scale, fit.standard_error, fit.from, fit.ratio,
                                 fit.converged ? "" : " (the fit did not converge)"),
                     style);
  }
  return text;
}

std::string diagnosis_lines(const check::Check& check, const TerminalStyle& style) {
  std::string text;
  const diagnose::Report& diagnosis = check.diagnosis;
  for (std::size_t i = 0; i < std::min(diagnosis.findings.size(), k_shown_findings); ++i) {
    const diagnose::Finding& finding = diagnosis.findings[i];
    text += labelled(i == 0 ? "diagnosis" : "or",
                     style.bold(escape_control(finding.id)) + "  " + escape_control(finding.title),
                     style);
    std::vector<std::string> details = {
        fmt::format("leaves {:.3g} of a healthy kernel's error", finding.residual_ratio)};
    if (!finding.parameters.empty()) {
      details.front() += "; " + parameters_of(finding);
    }
    for (const std::string* part : {&finding.evidence, &finding.see}) {
      if (i == 0 && !part->empty()) {
        details.push_back(*part);
      }
    }
    text += block("", details, style);
    if (i == 0) {
      text += labelled("", fmt::format("mla-scale explain {}", finding.id), style);
    }
  }
  if (check.judgement.verdict == Verdict::mismatch && !diagnosis.unexplained.empty()) {
    text += labelled("diagnosis", escape_control(diagnosis.unexplained), style);
  }
  for (const diagnose::Finding& note : diagnosis.notes) {
    text += labelled("note", escape_control(note.id + ": " + note.title), style);
  }
  return text;
}

/// One line for each reason, with all the identifiers that it keeps from being told.
std::vector<std::string> not_seen(const std::vector<diagnose::NotIdentifiable>& all) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < all.size();) {
    std::string ids = all[at].id;
    std::size_t next = at + 1;
    for (; next < all.size() && all[next].reason == all[at].reason; ++next) {
      ids += ", " + all[next].id;
    }
    lines.push_back(fmt::format("{}: {}; {}", ids, all[at].reason, all[at].needs));
    at = next;
  }
  return lines;
}

std::string rivals_line(const compare::Judgement& judgement, const TerminalStyle& style) {
  if (judgement.rivals.empty()) {
    return "";
  }
  const auto told = std::count_if(judgement.rivals.begin(), judgement.rivals.end(),
                                  [](const auto& outcome) { return outcome.told_apart; });
  return labelled("rivals",
                  fmt::format("this capture tells {} of {} wrong scales from the right one", told,
                              judgement.rivals.size()),
                  style);
}

} // namespace

std::string check_text(const CheckReport& report, const TerminalStyle& style) {
  const check::Check& check = report.check;
  const compare::Judgement& judgement = check.judgement;
  std::string text = headline(report, style);
  text += labelled("model",
                   fmt::format("{}, {}", shortened(escape_control(report.model.model.path), style),
                               to_string(check.options.phase)),
                   style);
  text += labelled("capture", capture_line(check, style), style);
  std::vector<std::string> reasons = judgement.reasons;
  if (judgement.verdict == Verdict::inconclusive && !reasons.empty()) {
    reasons.erase(reasons.begin()); // it is the headline
  }
  if (reasons.size() > k_shown_reasons) {
    reasons.resize(k_shown_reasons);
    reasons.emplace_back("...");
  }
  text += block("why", reasons, style);
  text += block("try", judgement.advice, style);
  for (const TensorComparison& tensor : judgement.tensors) {
    text += tensor_line(tensor, style);
  }
  if (judgement.verdict == Verdict::match) {
    text += labelled("floor",
                     fmt::format("{}: {}", compare::to_string(judgement.level),
                                 compare::describe(judgement.level)),
                     style);
  }
  text += where(check, style);
  text += scale_lines(check, style);
  text += diagnosis_lines(check, style);
  if (judgement.verdict != Verdict::mismatch) {
    text += rivals_line(judgement, style);
    text += block("not seen", not_seen(check.diagnosis.not_identifiable), style);
  }
  std::vector<std::string> notes = judgement.notes;
  std::erase_if(notes, [](const std::string& note) { return note.starts_with("precision."); });
  text += block("note", notes, style);
  if (report.timings) {
    text +=
        labelled("cost",
                 fmt::format("{:.3f} s, {:.1f} GFLOP/s for the reference", judgement.work.seconds,
                             judgement.work.flops / judgement.work.seconds / 1e9),
                 style);
  }
  // Not wrapped: it is there to be copied.
  text += "  " + style.dim(fmt::format("{:<{}}", "repro", k_label_columns))
          + escape_control(report.repro) + "\n";
  return text;
}

} // namespace mla_scale::report
