#pragma once

#include "exit_code.hpp"

#include <mla_scale/compare/judge.hpp>

#include <string>
#include <vector>

namespace mla_scale::cli {

/// Fit for a POSIX shell: as it is when harmless, else in single quotes.
[[nodiscard]] std::string shell_quoted(const std::string& argument);

/// "mla-scale check PATH CAPTURE..." that can be pasted into a shell.
[[nodiscard]] std::string check_command(const std::string& path,
                                        const std::vector<std::string>& captures);

/// Exit code of a verdict.
[[nodiscard]] ExitCode exit_code_of(compare::Verdict verdict);

} // namespace mla_scale::cli
