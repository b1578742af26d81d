#pragma once

#include <mla_scale/audit/filter.hpp>
#include <mla_scale/audit/finding.hpp>
#include <mla_scale/audit/record.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::audit {

struct Options {
  RuleFilter filter;
  unsigned threads = 0; ///< 0: as many as the machine has
  bool record = false;  ///< also keep what a snapshot of each model holds
  /// Called from any thread after each directory, with how many of how many are done.
  std::function<void(std::size_t done, std::size_t total)> progress;
};

/// What became of one model file.
struct AuditedModel {
  enum class Outcome { mla, not_mla, failed };
  std::string path;          ///< as find_model_files has it
  std::string source;        ///< the file
  std::string relative_path; ///< the file below the audited directory, so that it can be moved
  Outcome outcome = Outcome::failed;
  std::string reason;           ///< why it is no MLA, or what failed
  std::optional<Record> record; ///< with Options::record
};

/// One value that is not what the snapshot has.
struct Drift {
  std::string path;          ///< the file, named as in findings
  std::string relative_path; ///< the same below the audited directory
  std::string field;         ///< a JSON pointer into the config, or a derived field ("rope.factor")
  Scalar expected;           ///< "missing" where the snapshot has no such field
  Scalar actual;             ///< "missing" where the model has none
  Position position = {};    ///< of the key as it is now; unknown for what no single key says
};

/// Engine rules that only one side of a comparison with a snapshot knows: the tool has changed
/// since, not the models, so this is no drift.
struct EngineChanges {
  std::vector<std::string> added; ///< the tool knows them, the snapshot does not
  std::vector<std::string> gone;  ///< the snapshot names them, the tool no longer does
};

/// An entry of a baseline that no finding matched, or whose date has passed.
struct StaleEntry {
  std::string rule;
  std::string path;
  std::string pointer;
  std::string reason;
  std::string expires;
  bool expired = false; ///< the finding is still there, but the date has passed
};

struct Summary {
  std::size_t files = 0;   ///< model files looked at
  std::size_t models = 0;  ///< of these, with MLA (or a shared K = V head)
  std::size_t not_mla = 0; ///< skipped
  std::size_t failed = 0;  ///< unreadable or malformed
  std::size_t errors = 0;
  std::size_t warnings = 0;
  std::size_t notes = 0;
  std::size_t accepted = 0; ///< findings that the baseline accepts
};

struct Audit {
  /// The directory below which relative paths lie; empty when several paths were audited, each then
  /// under the name that it was given.
  std::filesystem::path root;
  std::vector<AuditedModel> models; ///< in the order of their names
  std::vector<Finding> findings;    ///< by model, then place, then id
  std::vector<Drift> drift;
  EngineChanges engine_changes; ///< since the snapshot
  std::vector<StaleEntry> stale;
  Summary summary;

  /// True when a file could not be read or judged (a finding of MLA9xx).
  [[nodiscard]] bool has_input_failure() const;
  /// True when a finding is at least this bad.
  [[nodiscard]] bool has_at_least(Severity severity) const;
};

/// Audits every model under each path. The result does not depend on the number of threads.
///
/// A path that does not exist, or under which no model is, becomes a finding of MLA9xx, like any
/// file that cannot be read; models without MLA are counted and passed over.
[[nodiscard]] Audit audit(std::span<const std::filesystem::path> paths, const Options& options);

/// Counts the findings by severity, after some were added or removed.
void count_findings(Audit& audit);

} // namespace mla_scale::audit
