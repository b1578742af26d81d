#pragma once

#include <mla_scale/audit/audit.hpp>

#include <string>

namespace mla_scale::report {

/// SARIF 2.1.0: the rules that were hit with their documentation, one result for each finding and
/// each drifted field. Places are told as far as they are known: file, line and column, and the
/// JSON pointer as logical location. Fingerprints come from rule, file and pointer, so they survive
/// edits that move lines. OASIS sarif-schema-2.1.0.
[[nodiscard]] std::string audit_sarif(const audit::Audit& audit);

} // namespace mla_scale::report
