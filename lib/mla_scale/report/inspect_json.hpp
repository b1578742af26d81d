#pragma once

#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/inspection.hpp>

#include <span>
#include <string>

namespace mla_scale::report {

/// Members of one model object, without its braces, so that other reports can add theirs.
void write_model(json::Writer& writer, const Inspection& inspection);

/// {kind, message, pointer, line, column}; null for a place that is unknown.
void write_error(json::Writer& writer, const Error& error);

/// The JSON report of `inspect`.
[[nodiscard]] std::string inspect_json(std::span<const Inspection> inspections);

} // namespace mla_scale::report
