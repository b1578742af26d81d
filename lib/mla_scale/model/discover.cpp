#include "readers.hpp"

#include <mla_scale/core/file.hpp>

#include <algorithm>
#include <array>
#include <set>

#include <sys/stat.h>

namespace mla_scale::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_deepest_directory = 64;
constexpr std::size_t k_largest_guess = std::size_t{1} << 20;

/// JSON files that stand beside configs and never are one; not opened.
constexpr std::array<std::string_view, 16> k_other_json = {"tokenizer.json",
                                                           "tokenizer_config.json",
                                                           "vocab.json",
                                                           "added_tokens.json",
                                                           "special_tokens_map.json",
                                                           "generation_config.json",
                                                           "preprocessor_config.json",
                                                           "processor_config.json",
                                                           "chat_template.json",
                                                           "hf_quant_config.json",
                                                           "quantize_config.json",
                                                           "quantization_config.json",
                                                           "tekken.json",
                                                           "model_index.json",
                                                           "adapter_config.json",
                                                           "snapshot.json"};

bool is_later_shard(const std::string& name) {
  // NAME-00002-of-00030.gguf
  const std::size_t of = name.rfind("-of-");
  return of != std::string::npos && of >= 6 && name.substr(of - 6, 6) != "-00001"
         && name[of - 6] == '-'
         && std::all_of(name.begin() + static_cast<std::ptrdiff_t>(of) - 5,
                        name.begin() + static_cast<std::ptrdiff_t>(of),
                        [](char c) { return c >= '0' && c <= '9'; });
}

std::string first_shard(const std::string& name) {
  std::string first = name;
  return first.replace(name.rfind("-of-") - 6, 6, "-00001");
}

/// Whether a JSON file with an unusual name is a config; anything else beside a model is passed
/// over.
bool looks_like_config(const fs::path& path) {
  std::error_code failed;
  if (fs::file_size(path, failed) > k_largest_guess || failed) {
    return false;
  }
  const Result<std::string> text = read_file(path, k_largest_guess);
  const std::string name = path.filename().string();
  return text
         && (is_model_config(*text)
             || (name.starts_with("config") && !json::Document::parse(*text, name)));
}

/// True for a name that is opened whatever it holds, so that a broken config is reported and not
/// passed over.
bool is_config_name(const std::string& name) {
  return name == "config.json" || name == "params.json";
}

struct Walk {
  std::vector<ModelFile> found;
  std::set<std::pair<dev_t, ino_t>> seen;
  /// Linked directories with their depth: walked last, so that a link that is added beside a model
  /// does not take its name away.
  std::vector<std::pair<fs::path, std::size_t>> links;
};

/// The model files directly inside `directory`, by name.
std::vector<std::string> model_files_in(const std::vector<std::string>& names,
                                        const fs::path& directory) {
  std::vector<std::string> found;
  for (const std::string& name : names) {
    const bool json = name.ends_with(".json");
    const bool other =
        std::find(k_other_json.begin(), k_other_json.end(), name) != k_other_json.end()
        || name.ends_with(".index.json");
    if (is_config_name(name) || (json && !other && looks_like_config(directory / name))) {
      found.push_back(name);
    } else if (name.ends_with(".gguf")) {
      const bool covered =
          is_later_shard(name) && std::binary_search(names.begin(), names.end(), first_shard(name));
      if (!covered) {
        found.push_back(name);
      }
    }
  }
  return found;
}

void walk(const fs::path& directory, std::size_t depth, Walk& state) {
  struct stat status = {};
  if (::stat(directory.c_str(), &status) != 0) {
    state.found.push_back({directory.string(), directory.string()}); // for example a path too long
    return;
  }
  if (!state.seen.insert({status.st_dev, status.st_ino}).second || depth > k_deepest_directory) {
    return; // a link back, or a tree without end
  }
  std::error_code failed;
  std::vector<std::string> names;
  std::vector<fs::path> directories;
  std::vector<fs::path> links;
  for (fs::directory_iterator entry(directory, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) {
      (entry->is_symlink(ignored) ? links : directories).push_back(entry->path());
    } else {
      names.push_back(entry->path().filename().string());
    }
  }
  if (failed) {
    // Stands among the models, where reading it tells why it cannot be read.
    state.found.push_back({directory.string(), directory.string()});
    return;
  }
  std::sort(names.begin(), names.end());
  std::sort(directories.begin(), directories.end());
  std::sort(links.begin(), links.end());
  const std::vector<std::string> models = model_files_in(names, directory);
  for (const std::string& name : models) {
    state.found.push_back({directory.string(), (directory / name).string()});
  }
  if (!models.empty()) {
    return;
  }
  const auto is_hidden = [](const fs::path& below) {
    return below.filename().string().starts_with(".");
  };
  for (const fs::path& below : directories) {
    if (!is_hidden(below)) {
      walk(below, depth + 1, state);
    }
  }
  for (const fs::path& link : links) {
    if (!is_hidden(link)) {
      state.links.emplace_back(link, depth + 1);
    }
  }
}

void walk_links(Walk& state) {
  if (state.links.empty()) {
    return;
  }
  for (std::size_t i = 0; i < state.links.size(); ++i) { // grows by the links that links lead to
    const auto [link, depth] = state.links[i];
    walk(link, depth, state);
  }
  std::stable_sort(state.found.begin(), state.found.end(),
                   [](const ModelFile& left, const ModelFile& right) {
                     return fs::path(left.path) < fs::path(right.path);
                   });
}

} // namespace

Result<std::vector<ModelFile>> find_model_files(const fs::path& path) {
  if (path == "-") {
    return std::vector<ModelFile>{{"-", "-"}};
  }
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (!fs::exists(status)) {
    return Error{ErrorKind::not_found,
                 failed && status.type() != fs::file_type::not_found ? failed.message()
                                                                     : "no such file or directory",
                 path.string(),
                 {},
                 {}};
  }
  if (!fs::is_directory(status)) {
    const std::string name = path.filename().string();
    if (name.ends_with(".gguf") && is_later_shard(name)) {
      const fs::path first = path.parent_path() / first_shard(name);
      return std::vector<ModelFile>{
          {path.string(), fs::exists(first, failed) ? first.string() : path.string()}};
    }
    return std::vector<ModelFile>{{path.string(), path.string()}};
  }
  Walk state;
  fs::path start = path;
  if (start.has_relative_path() && start.filename().empty()) {
    start = start.parent_path(); // "zoo/" names the same models as "zoo"
  }
  walk(start, 0, state);
  walk_links(state);
  if (state.found.empty()) {
    return Error{ErrorKind::not_found,
                 "no config.json, params.json, DeepSeek inference config or .gguf in it or below",
                 path.string(),
                 {},
                 {}};
  }
  return state.found;
}

} // namespace mla_scale::model
