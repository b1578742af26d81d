#pragma once

#include <mla_scale/audit/audit.hpp>

#include <string>

namespace mla_scale::report {

/// Workflow commands that GitHub shows beside the lines of a pull request:
/// "::warning file=...,line=...,col=...,title=...::message".
[[nodiscard]] std::string audit_github(const audit::Audit& audit);

} // namespace mla_scale::report
