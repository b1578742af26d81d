#include <mla_scale/report/diagnosis.hpp>

#include <fmt/format.h>

#include <map>
#include <type_traits>

namespace mla_scale::report {

namespace {

void write_finding(json::Writer& writer, const diagnose::Finding& finding) {
  writer.begin_object();
  writer.member("id", finding.id).member("title", finding.title);
  writer.key("parameters").begin_object();
  for (const auto& parameter : finding.parameters) {
    writer.key(parameter.name);
    std::visit([&](const auto& value) { writer.value(value); }, parameter.value);
  }
  writer.end_object();
  writer.member("residual_ratio", finding.residual_ratio);
  writer.member("evidence", finding.evidence).member("see", finding.see);
  writer.end_object();
}

std::string parameters_text(const diagnose::Finding& finding) {
  std::string text;
  for (const auto& parameter : finding.parameters) {
    const auto value = std::visit(
        [](const auto& number) {
          if constexpr (std::is_same_v<std::decay_t<decltype(number)>, double>) {
            return fmt::format("{:.7g}", number);
          } else {
            return fmt::format("{}", number);
          }
        },
        parameter.value);
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", parameter.name, value);
  }
  return text;
}

/// Heads against row ranges, one letter each: '.' healthy, then by powers of ten.
std::string map_text(const std::vector<diagnose::Place>& map) {
  std::map<std::int64_t, std::string> lines;
  for (const auto& place : map) {
    const char mark = place.ratio < 2.0     ? '.'
                      : place.ratio < 10.0  ? '-'
                      : place.ratio < 100.0 ? '+'
                                            : '#';
    lines[place.head] += mark;
  }
  std::string text;
  for (const auto& [head, line] : lines) {
    text += fmt::format("    head {:>3}  {}\n", head, line);
  }
  if (!text.empty()) {
    text = "    rows from first to last; . healthy, - above 2, + above 10, # above 100 times a "
           "healthy kernel's error\n"
           + text;
  }
  return text;
}

} // namespace

void write_diagnosis(json::Writer& writer, const diagnose::Report& report) {
  writer.key("diagnosis").begin_array();
  for (const auto& finding : report.findings) {
    write_finding(writer, finding);
  }
  writer.end_array();
  writer.key("notes").begin_array();
  for (const auto& note : report.notes) {
    write_finding(writer, note);
  }
  writer.end_array();
  writer.key("not_identifiable").begin_array();
  for (const auto& row : report.not_identifiable) {
    writer.begin_object();
    writer.member("id", row.id).member("reason", row.reason).member("needs", row.needs);
    writer.end_object();
  }
  writer.end_array();
  if (report.unexplained.empty()) {
    return;
  }
  writer.key("unexplained").begin_object();
  writer.member("text", report.unexplained);
  writer.key("map").begin_array();
  for (const auto& place : report.map) {
    writer.begin_object();
    writer.member("head", place.head).member("first_row", place.first_row);
    writer.member("last_row", place.last_row).member("ratio", place.ratio);
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
}

std::string diagnosis_text(const diagnose::Report& report) {
  std::string text;
  bool first = true;
  for (const auto& finding : report.findings) {
    const auto parameters = parameters_text(finding);
    text += fmt::format("{} {}: {}{}; {}\n", first ? "diagnosis:" : "      and:", finding.id,
                        finding.title, parameters.empty() ? "" : " (" + parameters + ")",
                        finding.evidence);
    if (!finding.see.empty()) {
      text += fmt::format("           look at: {}\n", finding.see);
    }
    first = false;
  }
  for (const auto& note : report.notes) {
    text += fmt::format("note: {}: {}; {}\n", note.id, note.title, note.evidence);
  }
  if (!report.unexplained.empty()) {
    text += "unexplained: " + report.unexplained + "\n" + map_text(report.map);
    for (const auto& row : report.not_identifiable) {
      text +=
          fmt::format("  cannot be told here: {}: {}; needs {}\n", row.id, row.reason, row.needs);
    }
  }
  return text;
}

std::string hypothesis_text(const diagnose::Hypothesis& hypothesis) {
  std::string text = fmt::format("{}: {}\n", hypothesis.id, hypothesis.title);
  const auto line = [&](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<12}{}\n", name, value);
  };
  line("changes", hypothesis.changes);
  line("shows", hypothesis.shows);
  line("estimated", hypothesis.estimated);
  line("confusable", hypothesis.confusable);
  line("look at", hypothesis.look_at);
  std::string_view sources = hypothesis.sources;
  while (!sources.empty()) {
    const auto end = sources.find(' ');
    line("source", sources.substr(0, end));
    sources = end == std::string_view::npos ? std::string_view{} : sources.substr(end + 1);
  }
  return text;
}

} // namespace mla_scale::report
