#pragma once

#include <mla_scale/audit/audit.hpp>
#include <mla_scale/report/style.hpp>

#include <string>

namespace mla_scale::report {

/// Findings as "file:line:column: severity ID [slug]: message", drift, stale entries of the
/// baseline, and one line of counts.
[[nodiscard]] std::string audit_text(const audit::Audit& audit, const TerminalStyle& style);

} // namespace mla_scale::report
