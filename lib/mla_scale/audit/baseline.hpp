#pragma once

#include <mla_scale/audit/audit.hpp>
#include <mla_scale/core/result.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::audit {

/// One finding that somebody accepts, and why. Keyed by rule, file and JSON pointer, so that it
/// survives edits that move lines.
struct AcceptedFinding {
  std::string rule;
  std::string path; ///< the file below the audited directory
  std::string pointer;
  std::string reason;
  std::string expires; ///< "2026-12-31": accepted up to and including that day; empty for ever
};

struct Baseline {
  std::vector<AcceptedFinding> accepted;
};

/// Errors: not_found, unreadable; syntax and schema with the position: an unknown rule, a missing
/// reason, a date that is none.
[[nodiscard]] Result<Baseline> read_baseline(const std::filesystem::path& path);

/// A baseline that accepts every finding of the audit with the given reason.
[[nodiscard]] std::string write_baseline(const Audit& audit, std::string_view reason);

/// Removes accepted findings from the audit, counts them, and lists entries that matched nothing
/// or have expired. `today` is an ISO date.
void apply_baseline(Audit& audit, const Baseline& baseline, std::string_view today);

/// True for a date like "2026-02-28" that exists.
[[nodiscard]] bool is_date(std::string_view text);

} // namespace mla_scale::audit
