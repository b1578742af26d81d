#pragma once

#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/inspect_report.hpp>

#include <span>
#include <string>
#include <vector>

namespace mla_scale::report {

/// Members of one model object, without its braces, so that other reports can add theirs.
void write_model(json::Writer& writer, const Inspection& inspection);

/// {kind, message, pointer, line, column}; null for a place that is unknown.
void write_error(json::Writer& writer, const Error& error);

class InspectJson : public InspectReport {
public:
  explicit InspectJson(std::size_t models);
  void add(std::size_t index, const Inspection& inspection) override;
  [[nodiscard]] std::string finish() override;

private:
  json::Writer m_writer;
  std::vector<json::Writer> m_models;
};

/// The JSON report of `inspect`.
[[nodiscard]] std::string inspect_json(std::span<const Inspection> inspections);

} // namespace mla_scale::report
