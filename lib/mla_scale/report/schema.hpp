#pragma once

#include <string_view>

namespace mla_scale::report {

/// The JSON Schema (draft 2020-12) of every JSON report of schema_version 1, as shipped in
/// report.schema.json.
[[nodiscard]] std::string_view json_schema();

} // namespace mla_scale::report
