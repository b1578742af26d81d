#pragma once

#include "exit_code.hpp"

#include <mla_scale/report/inspection.hpp>

#include <optional>
#include <string>
#include <vector>

namespace mla_scale::cli {

/// Help text of PATH, the same for every command that takes models.
inline constexpr const char* k_path_help = "A model directory or one that holds models, a config "
                                           "file, a .gguf, or - for JSON on standard input";

/// All models below the paths of a command line.
struct Inputs {
  std::vector<report::Inspection> inspections; ///< in the order of the paths, then of their names
  ExitCode verdict =
      ExitCode::fine; ///< input when something failed, or when a path has nothing to judge
};

/// Finds, reads and derives. Failures become inspections with an error and are repeated on standard
/// error.
[[nodiscard]] Inputs read_inputs(const std::vector<std::string>& paths);

/// The one model that `path` names, or nothing after saying on standard error why not. Of several
/// files of one model directory the first counts: config.json before params.json.
[[nodiscard]] std::optional<report::Inspection> read_model(const std::string& path);

} // namespace mla_scale::cli
