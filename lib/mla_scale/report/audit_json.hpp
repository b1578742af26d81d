#pragma once

#include <mla_scale/audit/audit.hpp>

#include <string>

namespace mla_scale::report {

/// {schema_version, tool, findings, drift, engine_changes, baseline, summary}; schema_version 1.
[[nodiscard]] std::string audit_json(const audit::Audit& audit);

} // namespace mla_scale::report
