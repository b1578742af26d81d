#pragma once

#include "exit_code.hpp"

#include <mla_scale/report/inspection.hpp>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::cli {

/// Help text of PATH, the same for every command that takes models.
inline constexpr const char* k_path_help = "A model directory or one that holds models, a config "
                                           "file, a .gguf, or - for JSON on standard input";

/// One model file below the paths of a command line, not yet read.
struct InputFile {
  model::ModelFile file;
  std::size_t path = 0;       ///< which of the paths it lies below
  std::optional<Error> error; ///< why there is none below that path
};

/// In the order of the paths, then of their names.
[[nodiscard]] std::vector<InputFile> find_inputs(const std::vector<std::string>& paths);

/// Takes one model, with its index among the files. Called from several threads, in any order.
using Visit = std::function<void(std::size_t index, report::Inspection inspection)>;

/// Reads and derives each file and hands it to `visit`. Failures are inspections with an error and
/// are repeated on standard error, in the order of the files. Returns ExitCode::input when
/// something failed, or when a path has nothing to judge.
[[nodiscard]] ExitCode visit_inputs(std::span<const InputFile> files, const Visit& visit);

/// All models below the paths of a command line.
struct Inputs {
  std::vector<report::Inspection> inspections; ///< in the order of the paths, then of their names
  ExitCode verdict = ExitCode::fine;           ///< of visit_inputs
};

/// find_inputs and visit_inputs, for what looks at all models together.
[[nodiscard]] Inputs read_inputs(const std::vector<std::string>& paths);

/// The one model that `path` names, or nothing after saying on standard error why not. Of several
/// files of one model directory the first counts: config.json before params.json.
[[nodiscard]] std::optional<report::Inspection> read_model(const std::string& path);

} // namespace mla_scale::cli
