#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/begin_report.hpp>
#include <mla_scale/report/hook_report.hpp>

namespace mla_scale::report {

std::string hook_list_text(std::span<const hook::Hook> hooks, const TerminalStyle& style) {
  std::string text;
  for (const hook::Hook& row : hooks) {
    text += text.empty() ? "" : "\n";
    text += style.bold(row.engine) + "\n";
    text += hanging("  captures  ", 12, row.captures, style.width);
    text += hanging("  tried on  ", 12, row.tried, style.width);
  }
  return text;
}

std::string hook_json(std::span<const hook::Hook> hooks, bool with_python) {
  json::Writer writer;
  begin_report(writer);
  writer.key("hooks").begin_array();
  for (const hook::Hook& row : hooks) {
    writer.begin_object();
    writer.member("engine", row.engine).member("captures", row.captures).member("tried", row.tried);
    if (with_python) {
      writer.member("python", row.python);
    }
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
  return writer.finish();
}

} // namespace mla_scale::report
