#include <mla_scale/report/begin_report.hpp>
#include <mla_scale/report/engines_json.hpp>
#include <mla_scale/report/inspect_json.hpp>

namespace mla_scale::report {
namespace {

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

void write_value(json::Writer& writer, const engines::EngineValue& value) {
  writer.begin_object();
  writer.member("id", value.rule->id);
  writer.member("name", value.rule->name);
  writer.member("versions", value.rule->versions);
  writer.member("prefill", value.prefill);
  writer.member("decode", value.decode);
  writer.member("cos_sin_factor", value.cos_sin_factor);
  writer.member("agrees", value.agrees);
  writer.member("error", unless_empty(value.error));
  writer.member("because", unless_empty(value.because));
  writer.member("source", value.rule->source);
  writer.member("certainty", to_string(value.certainty));
  writer.end_object();
}

void write_counts(json::Writer& writer, const EngineCounts& counts) {
  writer.key("engine_counts").begin_object();
  writer.member("agree", counts.agree);
  writer.member("differ", counts.differ);
  writer.member("fail", counts.fail);
  writer.member("not_taken", counts.not_taken);
  writer.end_object();
}

} // namespace

std::string engines_json(std::span<const EngineComparison> comparisons) {
  json::Writer writer;
  begin_report(writer);
  writer.key("models").begin_array();
  for (const EngineComparison& comparison : comparisons) {
    writer.begin_object();
    write_model(writer, *comparison.inspection);
    if (comparison.inspection->model.config() != nullptr) {
      writer.key("engines").begin_array();
      for (const engines::EngineValue& value : comparison.values) {
        write_value(writer, value);
      }
      writer.end_array();
      write_counts(writer, count_engines(comparison));
    }
    writer.end_object();
  }
  writer.end_array().end_object();
  return writer.finish();
}

} // namespace mla_scale::report
