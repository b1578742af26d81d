#pragma once

#include <mla_scale/audit/audit.hpp>

#include <optional>
#include <string>

namespace mla_scale::report {

/// JUnit XML: a testsuite for each model file and in it a testcase for each rule that was hit, or
/// one that passes. Findings at or above `fail_on` (empty: never) and drift are failures,
/// unreadable input is an error; other findings pass and are told in system-out. Models without MLA
/// are skipped.
[[nodiscard]] std::string audit_junit(const audit::Audit& audit,
                                      std::optional<audit::Severity> fail_on);

} // namespace mla_scale::report
