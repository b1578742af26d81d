#include "readers.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <array>
#include <set>

#include <sys/stat.h>

namespace mla_scale::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_deepest_directory = 64;
constexpr std::size_t k_largest_guess = std::size_t{1} << 20;
/// So many directories beside each other are listed before the first of them is walked.
constexpr std::size_t k_listed_ahead = 1024;
/// Fewer are listed sooner than a thread starts.
constexpr std::size_t k_worth_threads = 16;

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
  unsigned threads = 0;
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

/// What one directory holds. Taking it changes nothing, so several may be taken at a time.
struct Listing {
  bool exists = false;
  bool readable = false;
  std::pair<dev_t, ino_t> identity;
  std::shared_ptr<const std::vector<std::string>> all; ///< everything in it, by name
  std::vector<std::string> models;                     ///< files, by name
  std::vector<std::string> directories;                ///< by name, without hidden ones
  std::vector<std::string> links;                      ///< linked directories, likewise
};

Listing list(const fs::path& directory) {
  Listing listing;
  struct stat status = {};
  listing.exists = ::stat(directory.c_str(), &status) == 0;
  if (!listing.exists) {
    return listing;
  }
  listing.identity = {status.st_dev, status.st_ino};
  std::error_code failed;
  std::vector<std::string> all;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(directory, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    std::error_code ignored;
    std::string name = entry->path().filename().string();
    all.push_back(name);
    if (!entry->is_directory(ignored)) {
      names.push_back(std::move(name));
    } else if (!name.starts_with('.')) {
      (entry->is_symlink(ignored) ? listing.links : listing.directories).push_back(std::move(name));
    }
  }
  listing.readable = !failed;
  if (listing.readable) {
    std::sort(names.begin(), names.end());
    std::sort(listing.directories.begin(), listing.directories.end());
    std::sort(listing.links.begin(), listing.links.end());
    listing.models = model_files_in(names, directory);
    if (!listing.models.empty()) {
      std::sort(all.begin(), all.end());
      listing.all = std::make_shared<const std::vector<std::string>>(std::move(all));
    }
  }
  return listing;
}

void walk(const fs::path& directory, const Listing& listing, std::size_t depth, Walk& state) {
  if (!listing.exists) {
    state.found.push_back({directory.string(), directory.string()}); // for example a path too long
    return;
  }
  if (!state.seen.insert(listing.identity).second || depth > k_deepest_directory) {
    return; // a link back, or a tree without end
  }
  if (!listing.readable) {
    // Stands among the models, where reading it tells why it cannot be read.
    state.found.push_back({directory.string(), directory.string()});
    return;
  }
  for (const std::string& name : listing.models) {
    state.found.push_back({directory.string(), (directory / name).string(), listing.all});
  }
  if (!listing.models.empty()) {
    return;
  }
  for (std::size_t begin = 0; begin < listing.directories.size(); begin += k_listed_ahead) {
    const std::size_t count = std::min(k_listed_ahead, listing.directories.size() - begin);
    std::vector<Listing> ahead(count);
    parallel_for(count, count < k_worth_threads ? 1 : state.threads, [&](std::size_t i) {
      ahead[i] = list(directory / listing.directories[begin + i]);
    });
    for (std::size_t i = 0; i < count; ++i) {
      walk(directory / listing.directories[begin + i], ahead[i], depth + 1, state);
    }
  }
  for (const std::string& link : listing.links) {
    state.links.emplace_back(directory / link, depth + 1);
  }
}

void walk_links(Walk& state) {
  if (state.links.empty()) {
    return;
  }
  for (std::size_t i = 0; i < state.links.size(); ++i) { // grows by the links that links lead to
    const auto [link, depth] = state.links[i];
    walk(link, list(link), depth, state);
  }
  std::stable_sort(state.found.begin(), state.found.end(),
                   [](const ModelFile& left, const ModelFile& right) {
                     return fs::path(left.path) < fs::path(right.path);
                   });
}

} // namespace

Result<std::vector<ModelFile>> find_model_files(const fs::path& path, unsigned threads) {
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
  state.threads = threads;
  fs::path start = path;
  if (start.has_relative_path() && start.filename().empty()) {
    start = start.parent_path(); // "zoo/" names the same models as "zoo"
  }
  walk(start, list(start), 0, state);
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
