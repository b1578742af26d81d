#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/model/mla_config.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace mla_scale::model {

/// A model file that was found, before it is read.
struct ModelFile {
  std::string
      path; ///< the model as the user would name it: its directory when there is one, else the file
  std::string source; ///< the file to read; "-" for standard input
  /// Everything in its directory, sorted, where that directory was searched; else null.
  std::shared_ptr<const std::vector<std::string>> beside = nullptr;
};

/// One model file and what became of it.
struct LoadedModel {
  std::string path;
  std::string source;
  std::variant<MlaConfig, NotMla, Error> outcome;

  [[nodiscard]] const MlaConfig* config() const { return std::get_if<MlaConfig>(&outcome); }
  [[nodiscard]] const NotMla* not_mla() const { return std::get_if<NotMla>(&outcome); }
  [[nodiscard]] const Error* error() const { return std::get_if<Error>(&outcome); }
};

/// The model files under `path`, in the order of their names.
///
/// A file is itself. A directory that holds model files (config.json, params.json, DeepSeek
/// inference configs, .gguf) is a model; one that does not is searched for such directories. Only
/// the first shard of a split GGUF counts. Symbolic links to directories are followed
/// once each, and name no model that is there without them.
/// Weights are never opened. Directories are listed on `threads` threads (0: as many as the machine
/// has), which changes nothing in the result. Errors: not_found when the path does not exist or
/// nothing is below it; unreadable.
[[nodiscard]] Result<std::vector<ModelFile>> find_model_files(const std::filesystem::path& path,
                                                              unsigned threads = 0);

/// Reads one model file of any format, told from its content.
[[nodiscard]] LoadedModel load_model(const ModelFile& file);

/// Reads a JSON config from memory; `name` is used in messages and origins.
[[nodiscard]] LoadedModel load_model_text(std::string text, const std::string& name);

/// find_model_files and load_model for each, on `threads` threads (0: as many as the machine has).
[[nodiscard]] Result<std::vector<LoadedModel>> load_models(const std::filesystem::path& path,
                                                           unsigned threads = 0);

} // namespace mla_scale::model
