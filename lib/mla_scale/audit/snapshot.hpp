#pragma once

#include <mla_scale/audit/audit.hpp>
#include <mla_scale/core/result.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::audit {

/// What a zoo looked like when somebody last blessed it: one record a model, under its path below
/// the audited directory.
struct Snapshot {
  struct Model {
    std::string path;
    Record record;
  };
  std::vector<Model> models;        ///< in the order of their paths
  std::vector<std::string> engines; ///< the engine rules that were asked; empty: not recorded
};

/// What is not as a snapshot has it.
struct Comparison {
  std::vector<Drift> drift;
  EngineChanges engine_changes;
};

/// The snapshot of an audit made with Options::record.
[[nodiscard]] Snapshot take_snapshot(const Audit& audit);

/// JSON with schema_version 1, without machine, version or date: the same zoo, the same bytes.
[[nodiscard]] std::string write_snapshot(const Snapshot& snapshot);

/// Errors: not_found, unreadable; syntax and schema with the position.
[[nodiscard]] Result<Snapshot> read_snapshot(const std::filesystem::path& path);

/// Field by field, what is not as it was: changed, added and removed fields, missing and new
/// models. `actual` was made with Options::record.
///
/// Engines are compared one by one, in fields named engines.ID. An engine rule that either side
/// does not know at all changes with the version of the tool: it is told, and is no drift.
[[nodiscard]] Comparison compare_with_snapshot(const Snapshot& expected, const Audit& actual);

} // namespace mla_scale::audit
