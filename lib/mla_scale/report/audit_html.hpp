#pragma once

#include <mla_scale/audit/audit.hpp>

#include <string>

namespace mla_scale::report {

/// A self-contained page for a browser: summary, drift, findings by file with a filter, and the
/// text of each rule that was hit. Loads nothing.
[[nodiscard]] std::string audit_html(const audit::Audit& audit);

} // namespace mla_scale::report
