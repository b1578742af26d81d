#include <mla_scale/core/text.hpp>
#include <mla_scale/report/check_report.hpp>
#include <mla_scale/report/html/markup.hpp>
#include <mla_scale/report/html/page.hpp>
#include <mla_scale/report/html/plots.hpp>
#include <mla_scale/report/html/table.hpp>
#include <mla_scale/report/parameters.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <variant>

namespace mla_scale::report {
namespace {

using compare::GroupError;
using compare::Status;
using compare::TensorComparison;
using compare::Verdict;
using html::Cell;
using html::k_name;
using html::k_number;
using html::k_place;
using html::k_prose;
using html::k_text;
using html::Table;
using model::Origin;

std::string number(double value) {
  return fmt::format("<span class=\"number\">{}</span>", format_number(value));
}

std::string measured(const compare::ScaleFit& fit) {
  return fmt::format("<span class=\"number\">{:.9g} ± {:.1g}</span>", fit.softmax_scale,
                     fit.standard_error);
}

std::string_view class_of(Verdict verdict) {
  return verdict == Verdict::match ? "good" : verdict == Verdict::mismatch ? "bad" : "warn";
}

std::string_view class_of(Status status) {
  return status == Status::match ? "good" : compare::is_failure(status) ? "bad" : "warn";
}

/// The scale that the diagnosis names, where it names one.
std::optional<html::NamedScale> named_scale(const diagnose::Report& diagnosis) {
  if (diagnosis.findings.empty()) {
    return std::nullopt;
  }
  const diagnose::Finding& finding = diagnosis.findings.front();
  for (const diagnose::Parameter& parameter : finding.parameters) {
    const double* value = std::get_if<double>(&parameter.value);
    if (parameter.name == "softmax_scale" && value != nullptr) {
      return html::NamedScale{finding.id, *value};
    }
  }
  return std::nullopt;
}

/// Verdict and diagnosis in a sentence.
std::string headline(const check::Check& check) {
  const std::vector<diagnose::Finding>& findings = check.diagnosis.findings;
  switch (check.judgement.verdict) {
  case Verdict::match:
    return "The kernel computed what this model wants, within the rounding of a healthy kernel";
  case Verdict::inconclusive:
    return check.judgement.reasons.empty() ? "This capture cannot be judged"
                                           : xml_text(check.judgement.reasons.front());
  case Verdict::mismatch:
    break;
  }
  if (!findings.empty()) {
    return html::code(findings.front().id) + ": " + xml_text(findings.front().title);
  }
  return check.options.diagnose ? "The error is more than rounding, and no known bug explains it"
                                : "The error is more than rounding";
}

/// The numbers behind the headline, in a sentence.
std::string lede(const check::Check& check) {
  const compare::Judgement& judgement = check.judgement;
  const diagnose::Report& diagnosis = check.diagnosis;
  if (judgement.verdict != Verdict::mismatch) {
    return {};
  }
  const std::optional<html::NamedScale> named = named_scale(diagnosis);
  if (named && judgement.fit) {
    return fmt::format(
        "It computes with softmax scale {}, fitted from {}, where the model wants {}: "
        "{:.4g} times what it should be.",
        measured(*judgement.fit), html::code(judgement.fit->from), number(check.softmax_scale),
        judgement.fit->ratio);
  }
  return xml_text(diagnosis.findings.empty() ? diagnosis.unexplained
                                             : diagnosis.findings.front().evidence);
}

std::string top(const CheckReport& report) {
  const check::Check& check = report.check;
  const compare::Judgement& judgement = check.judgement;
  std::string text = html::verdict(class_of(judgement.verdict),
                                   judgement.verdict == Verdict::match      ? "Match"
                                   : judgement.verdict == Verdict::mismatch ? "Mismatch"
                                                                            : "Inconclusive",
                                   headline(check));
  if (const std::string sentence = lede(check); !sentence.empty()) {
    text += html::paragraph(sentence, "lede");
  }
  text += html::paragraph(html::code(report.model.model.path) + ", "
                              + std::string(check::to_string(check.options.phase)),
                          "muted");
  std::vector<std::pair<std::string_view, std::string>> facts = {
      {"Expected softmax scale", number(check.softmax_scale)}};
  if (judgement.fit) {
    facts.emplace_back("Measured", measured(*judgement.fit));
    facts.emplace_back("Measured over expected",
                       fmt::format("<span class=\"number\">{:.7g}</span>", judgement.fit->ratio));
  }
  for (const TensorComparison& tensor : judgement.tensors) {
    facts.emplace_back(tensor.name,
                       fmt::format("<span class=\"{}\">{}</span>", class_of(tensor.status),
                                   compare::to_string(tensor.status)));
  }
  return text + html::definitions(facts, "facts");
}

std::string finding_markup(const diagnose::Finding& finding) {
  return fmt::format("<h3>{} {}</h3>\n", html::code(finding.id), xml_text(finding.title))
         + html::definitions(
             {{"Evidence", xml_text(finding.evidence)},
              {"Parameters", xml_text(parameters_of(finding))},
              {"Error left", fmt::format("{:.3g} of a healthy kernel's", finding.residual_ratio)},
              {"Look at", xml_text(finding.see)},
              {"More", html::code("mla-scale explain " + finding.id)}});
}

/// The explanations that competed, and what each leaves of the error.
std::string considered(const diagnose::Report& diagnosis) {
  Table table("Explanations that competed, best first", {{"Explanation", k_name},
                                                         {"Explains it", k_text},
                                                         {"Error left", k_number},
                                                         {"Left in lse", k_number},
                                                         {"With", k_prose}});
  for (const diagnose::Considered& one : diagnosis.considered) {
    const std::string name = one.ids.empty()
                                 ? std::string("as the model wants it")
                                 : html::code(fmt::format("{}", fmt::join(one.ids, " + ")));
    table.add({{name},
               {one.holds ? "yes" : "no"},
               html::number_cell(one.residual_ratio),
               one.lse_ratio > 0.0 ? html::number_cell(one.lse_ratio) : Cell{"n/a", std::nan("")},
               {xml_text(one.evidence)}});
  }
  return table.empty() ? ""
                       : table.markup()
                             + html::paragraph("Error left: 1 is what the rounding of a healthy "
                                               "kernel leaves.",
                                               "muted");
}

std::string diagnosis(const check::Check& check) {
  const diagnose::Report& diagnosis = check.diagnosis;
  std::string text;
  for (const diagnose::Finding& finding : diagnosis.findings) {
    text += finding_markup(finding);
  }
  for (const diagnose::Finding& note : diagnosis.notes) {
    text += finding_markup(note);
  }
  if (text.empty()) {
    text = check.judgement.verdict == Verdict::match ? html::paragraph("Nothing to explain.")
           : diagnosis.unexplained.empty()
               ? ""
               : html::paragraph("No known bug explains this capture. What came nearest:");
  }
  text += considered(diagnosis);
  Table unknown("What this capture cannot tell",
                {{"Hypothesis", k_name}, {"Why", k_prose}, {"What would", k_prose}});
  for (const diagnose::NotIdentifiable& one : diagnosis.not_identifiable) {
    unknown.add({{html::code(one.id)}, {xml_text(one.reason)}, {xml_text(one.needs)}});
  }
  if (!unknown.empty()) {
    text += html::details("What this capture cannot tell", unknown.markup());
  }
  return check.options.diagnose ? html::section("diagnosis", "Diagnosis", text) : "";
}

/// Why nothing could be concluded, or what a match still leaves open.
std::string why(const compare::Judgement& judgement) {
  if (judgement.verdict == Verdict::mismatch) {
    return {}; // the tests that failed stand with the errors
  }
  std::string text = html::bullets(judgement.reasons);
  if (!judgement.advice.empty()) {
    text += "<h3>What would tell</h3>\n" + html::bullets(judgement.advice);
  }
  return text.empty() ? "" : html::section("why", "Why", text);
}

std::string rivals(const check::Check& check) {
  const compare::Judgement& judgement = check.judgement;
  Table table("Wrong scales, and how far each is from what was measured",
              {{"Scale", k_name},
               {"Value", k_number},
               {"Over expected", k_number},
               {"From measured", k_number},
               {"Standard errors", k_number},
               {"Told apart", k_text}});
  std::vector<html::NamedScale> drawn;
  for (const compare::RivalOutcome& outcome : judgement.rivals) {
    const double scale = outcome.rival.softmax_scale;
    drawn.push_back({outcome.rival.name, scale});
    double distance = std::nan("");
    double errors = std::nan("");
    if (judgement.fit) {
      distance = scale / judgement.fit->softmax_scale - 1.0;
      errors = (scale - judgement.fit->softmax_scale) / judgement.fit->standard_error;
    }
    table.add({{html::code(outcome.rival.name)},
               html::number_cell(scale, 7),
               html::number_cell(scale / check.softmax_scale, 4),
               {std::isnan(distance) ? "n/a" : fmt::format("{:+.3g} %", 100.0 * distance),
                std::abs(distance)},
               {std::isnan(errors) ? "n/a" : fmt::format("{:+.2g}", errors), std::abs(errors)},
               {outcome.told_apart ? "yes" : "no"}});
  }
  return html::scale_line(judgement.fit, check.softmax_scale, drawn)
         + html::details("Candidate scales as numbers", table.markup());
}

std::string scale_by_head(const compare::ScaleFit& fit) {
  Table table(fmt::format("Scale fitted from {}, head by head", xml_text(fit.from)),
              {{"Head", k_number},
               {"Scale", k_number},
               {"Standard error", k_number},
               {"Converged", k_text}});
  for (const compare::HeadScale& head : fit.by_head) {
    table.add({html::number_cell(static_cast<double>(head.head), 12),
               html::number_cell(head.softmax_scale, 9),
               html::number_cell(head.standard_error, 2),
               {head.converged ? "yes" : "no"}});
  }
  return html::details("Scale by head as numbers", table.markup());
}

std::string scale(const check::Check& check) {
  const compare::Judgement& judgement = check.judgement;
  std::string text;
  if (judgement.fit) {
    const compare::ScaleFit& fit = *judgement.fit;
    text += html::paragraph(fmt::format(
        "Fitted from {} of {}: {}, {:.7g} times the expected {}.{}", html::code(fit.from),
        html::counted(static_cast<std::size_t>(fit.rows), "row"), measured(fit), fit.ratio,
        number(check.softmax_scale), fit.converged ? "" : " The fit did not converge."));
    text += "<div class=\"figures\">\n"
            + html::scale_plot(fit, check.softmax_scale, named_scale(check.diagnosis)) + "</div>\n"
            + scale_by_head(fit);
  }
  if (!judgement.rivals.empty()) {
    text += rivals(check);
  }
  return text.empty() ? "" : html::section("scale", "Softmax scale, measured", text);
}

std::string place_markup(const Origin& origin) {
  if (origin.position.line == 0) {
    return html::code(origin.pointer);
  }
  const std::string file = origin.file.substr(origin.file.rfind('/') + 1);
  return html::code(fmt::format("{}:{}:{}", file, origin.position.line, origin.position.column))
         + " " + html::code(origin.pointer);
}

/// Where a step's number is from: the place of a key, or whose default it is.
std::string source_of(const scale::Step& step) {
  switch (step.origin.kind) {
  case Origin::Kind::read:
  case Origin::Kind::null:
    return place_markup(step.origin);
  case Origin::Kind::defaulted:
    return xml_text("default of " + step.origin.reason);
  case Origin::Kind::absent:
    return "not in the file";
  case Origin::Kind::derived:
    break;
  }
  return "computed";
}

std::string derivation(const CheckReport& report) {
  if (!report.model.scale) {
    return {};
  }
  const scale::SoftmaxScale& scale = *report.model.scale;
  Table table("", {{"Step", k_name}, {"Value", k_number}, {"Formula", k_prose}, {"From", k_place}});
  for (const scale::Step& step : scale.derivation) {
    table.add({{xml_text(step.step)},
               {step.value ? format_number(*step.value) : "", step.value},
               {xml_text(step.formula)},
               {source_of(step)}});
  }
  std::string text = table.markup(false);
  if (report.check.options.softmax_scale) {
    text = html::paragraph(fmt::format("The reference used {} as given by {}, not the model's:",
                                       number(report.check.softmax_scale), html::code("--scale")))
           + text;
  }
  if (scale.disputed) {
    Table alternatives("Engines disagree about this model",
                       {{"Scale", k_number}, {"When", k_prose}, {"Engines", k_prose}});
    for (const scale::Alternative& one : scale.alternatives) {
      alternatives.add({{format_number(one.value), one.value},
                        {xml_text(one.when)},
                        {xml_text(fmt::format("{}", fmt::join(one.engines, ", ")))}});
    }
    text += html::paragraph("Disputed: decided by " + html::code(scale.deciding_key) + ".")
            + alternatives.markup();
  }
  if (!scale.beside.empty()) {
    text += "<h3>Beside the scale</h3>\n" + html::bullets(scale.beside);
  }
  return html::section("derivation", "Softmax scale, derived from the config", text);
}

std::string group_table(const TensorComparison& tensor, html::Groups groups) {
  const bool heads = groups == html::Groups::heads;
  Table table(fmt::format("{} by {}", xml_text(tensor.name), heads ? "head" : "position"),
              {{heads ? "Head" : "Positions", k_number},
               {tensor.name == "lse" ? "Error" : "Relative error", k_number},
               {"Healthy", k_number},
               {"Floors", k_number},
               {"Not finite", k_number},
               {"Exceeds", k_text}});
  for (const GroupError& group : heads ? tensor.by_head : tensor.by_position) {
    table.add({{heads || group.first == group.last ? fmt::format("{}", group.first)
                                                   : fmt::format("{}–{}", group.first, group.last),
                static_cast<double>(group.first)},
               html::number_cell(group.relative_rms),
               html::number_cell(group.floor),
               html::number_cell(group.floor_ratio),
               html::number_cell(static_cast<double>(group.not_finite), 12),
               {group.bad ? "yes" : "no"}});
  }
  return table.markup();
}

std::string worst_elements(const TensorComparison& tensor) {
  Table table(fmt::format("Largest errors of {}", xml_text(tensor.name)), {{"Row", k_number},
                                                                           {"Head", k_number},
                                                                           {"Column", k_number},
                                                                           {"Got", k_number},
                                                                           {"Expected", k_number}});
  for (const compare::ElementDifference& worst : tensor.worst) {
    std::vector<Cell> cells;
    for (const std::int64_t index : worst.index) {
      cells.push_back(index < 0 ? Cell{"", std::nan("")}
                                : html::number_cell(static_cast<double>(index), 12));
    }
    cells.push_back(html::number_cell(worst.got, 7));
    cells.push_back(html::number_cell(worst.expected, 7));
    table.add(cells);
  }
  return table.markup();
}

std::string tensors(const compare::Judgement& judgement) {
  Table table("", {{"Tensor", k_name},
                   {"Status", k_text},
                   {"Worst, in floors", k_number},
                   {"calc_diff", k_number},
                   {"Relative rms", k_number},
                   {"Max abs", k_number},
                   {"Max rel", k_number},
                   {"NaN", k_number},
                   {"Infinite", k_number}});
  std::string maps;
  std::string plots;
  std::string numbers;
  for (const TensorComparison& tensor : judgement.tensors) {
    const bool compared = tensor.sums.count > 0 && tensor.status != Status::not_judged;
    const auto cell = [&](double value) {
      return compared ? html::number_cell(value) : Cell{"n/a", std::nan("")};
    };
    table.add({{html::code(tensor.name)},
               {fmt::format("<span class=\"{}\">{}</span>", class_of(tensor.status),
                            compare::to_string(tensor.status))},
               cell(tensor.floor_ratio),
               cell(tensor.sums.calc_diff()),
               cell(tensor.sums.relative_rms()),
               cell(tensor.sums.max_abs),
               cell(tensor.sums.max_rel),
               html::number_cell(static_cast<double>(tensor.sums.nan), 12),
               html::number_cell(static_cast<double>(tensor.sums.inf), 12)});
    maps += html::error_map(tensor);
    plots += html::error_plot(tensor, html::Groups::positions)
             + html::error_plot(tensor, html::Groups::heads);
    numbers += group_table(tensor, html::Groups::positions)
               + group_table(tensor, html::Groups::heads)
               + (compared ? worst_elements(tensor) : "");
  }
  std::string text = html::paragraph(fmt::format(
      "In floors: times the error that a healthy kernel of this kind would have on these "
      "inputs. Taken here: {}, {}.",
      compare::to_string(judgement.level), compare::describe(judgement.level)));
  text += table.markup();
  if (judgement.verdict == Verdict::mismatch && !judgement.reasons.empty()) {
    text += "<h3>Tests that failed</h3>\n" + html::bullets(judgement.reasons);
  }
  if (!maps.empty()) {
    text += "<h3>Where</h3>\n" + html::error_map_legend() + "<div class=\"figures\">\n" + maps
            + "</div>\n";
  }
  if (!plots.empty()) {
    text += "<h3>By position and by head</h3>\n"
            "<p class=\"muted\">Dots: the capture, squares where it exceeds the floor. Dashes: a "
            "healthy kernel.</p>\n<div class=\"figures\">\n"
            + plots + "</div>\n";
  }
  if (!numbers.empty()) {
    text += html::details("Errors as numbers", numbers);
  }
  return html::section("error", "Error against the reference", text);
}

std::string shape_of(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string of(const std::vector<std::int64_t>& chosen, std::int64_t all) {
  return chosen.empty() || static_cast<std::int64_t>(chosen.size()) == all
             ? fmt::format("{}", all)
             : fmt::format("{} of {}", chosen.size(), all);
}

std::string capture(const CheckReport& report) {
  const check::Check& check = report.check;
  const tensor::Capture& capture = check.capture;
  std::vector<std::string> files;
  for (const std::string& file : capture.files) {
    files.push_back(html::code(file));
  }
  std::string cost;
  if (report.timings && check.judgement.work.seconds > 0.0) {
    const reference::Work& work = check.judgement.work;
    cost = fmt::format("{:.3f} s, {:.1f} GFLOP/s", work.seconds, work.flops / work.seconds / 1e9);
  }
  std::string text = html::definitions(
      {{"Files", fmt::format("{}", fmt::join(files, "<br/>"))},
       {"Level", xml_text(capture.level)},
       {"Layout", xml_text(capture.layout)},
       {"Dtype", std::string(tensor::to_string(check.judgement.dtypes.input))},
       {"Heads", of(check.heads, capture.heads)},
       {"Query rows", of(check.rows, capture.query_rows)},
       {"Key rows", fmt::format("{}", capture.key_rows)},
       {"Sequences",
        capture.sequences.size() > 1 ? fmt::format("{}", capture.sequences.size()) : ""},
       {"Missing", xml_text(fmt::format("{}", fmt::join(capture.missing, ", ")))},
       {"Scale that the capture declares",
        capture.declared_softmax_scale ? number(*capture.declared_softmax_scale) : ""},
       {"Reference",
        fmt::format("{} form in {}", reference::to_string(check.form),
                    check.options.precision == reference::Precision::f64 ? "float64" : "float32")},
       {"Cost", cost}});
  Table table("Tensors", {{"Name", k_name},
                          {"Read as", k_text},
                          {"Dtype", k_text},
                          {"Shape", k_text},
                          {"File", k_place}});
  for (const tensor::CaptureTensor& one : capture.tensors) {
    table.add({{html::code(one.name)},
               {one.canonical.empty() ? "not used" : html::code(one.canonical)},
               {xml_text(one.dtype)},
               {shape_of(one.shape)},
               {html::code(one.file.substr(one.file.rfind('/') + 1))}});
  }
  text += table.markup();
  std::vector<std::string> notes = check.judgement.notes;
  std::erase_if(notes, [](const std::string& note) { return note.starts_with("precision."); });
  if (!notes.empty()) {
    text += "<h3>Notes</h3>\n" + html::bullets(notes);
  }
  return html::section("capture", "Capture", text);
}

} // namespace

std::string check_html(const CheckReport& report) {
  const check::Check& check = report.check;
  const std::string title =
      fmt::format("{}: {}", compare::to_string(check.judgement.verdict), report.model.model.path);
  return html::page(
      title, top(report) + why(check.judgement) + diagnosis(check) + scale(check)
                 + tensors(check.judgement) + derivation(report) + capture(report)
                 + html::section("reproduce", "Reproduce", html::command("command", report.repro)));
}

} // namespace mla_scale::report
