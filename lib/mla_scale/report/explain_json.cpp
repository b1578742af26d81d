#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/begin_report.hpp>
#include <mla_scale/report/explain_json.hpp>

namespace mla_scale::report {

std::string explain_json(std::span<const explain::Entry* const> entries, bool with_sections) {
  json::Writer writer;
  begin_report(writer);
  writer.key("entries").begin_array();
  for (const explain::Entry* entry : entries) {
    writer.begin_object();
    writer.member("id", entry->id).member("kind", entry->kind).member("title", entry->title);
    if (with_sections) {
      writer.key("sections").begin_array();
      for (const explain::Section& section : entry->sections) {
        writer.begin_object();
        writer.member("label", section.label).member("text", section.text);
        writer.end_object();
      }
      writer.end_array();
    }
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
  return writer.finish();
}

} // namespace mla_scale::report
