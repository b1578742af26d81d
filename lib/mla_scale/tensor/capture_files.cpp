#include "capture_files.hpp"

#include "capture_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace mla_scale::tensor {
namespace {

namespace fs = std::filesystem;

Error failure(ErrorKind kind, const fs::path& path, std::string message, std::string pointer = {}) {
  return Error{kind, std::move(message), path.string(), std::move(pointer), {}};
}

/// More files than this in one directory are no capture of one attention call.
constexpr std::size_t k_max_files = 4096;

Result<std::vector<fs::path>> files_of_directory(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code code;
  for (fs::directory_iterator entry(directory, code), end; !code && entry != end;
       entry.increment(code)) {
    if (is_tensor_file(entry->path()) && !entry->is_directory(code)) {
      files.push_back(entry->path());
    }
    if (files.size() > k_max_files) {
      return failure(ErrorKind::unreadable, directory,
                     fmt::format("holds more than {} tensor files", k_max_files));
    }
  }
  if (code) {
    return failure(ErrorKind::unreadable, directory, code.message());
  }
  if (files.empty()) {
    return failure(ErrorKind::not_found, directory,
                   "holds no tensor files (.safetensors, .npz, .npy, .pt, .pth)");
  }
  std::ranges::sort(files);
  return files;
}

Result<std::vector<fs::path>> expand(const std::vector<fs::path>& paths) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  for (const fs::path& path : paths) {
    std::error_code ignored;
    std::vector<fs::path> found = {path};
    if (fs::is_directory(path, ignored)) {
      Result<std::vector<fs::path>> inside = files_of_directory(path);
      if (!inside) {
        return inside.error();
      }
      found = std::move(*inside);
    }
    for (fs::path& file : found) {
      const fs::path whole = fs::weakly_canonical(file, ignored);
      if (seen.insert(ignored ? file : whole).second) {
        files.push_back(std::move(file));
      }
    }
  }
  return files;
}

/// Merges one file after the other.
class Merger {
public:
  Result<void> add(TensorFile file) {
    const std::string path = file.path.string();
    m_result.paths.push_back(path);
    if (file.mapped) {
      m_result.mapped.push_back(std::move(file.mapped));
    }
    m_result.metadata[path] = std::move(file.metadata);
    for (std::shared_ptr<const Tensor>& tensor : file.tensors) {
      const std::string canonical(canonical_name(tensor->name));
      m_result.listing.push_back(
          {tensor->name, canonical, path, std::string(to_string(tensor->dtype)), tensor->shape});
      if (const Result<void> unique = check_unique(tensor->name, canonical, path); !unique) {
        return unique;
      }
      if (!canonical.empty()) {
        m_result.tensors.emplace(canonical, std::move(tensor));
      }
    }
    for (const UnreadTensor& unread : file.unread) {
      const std::string canonical(canonical_name(unread.name));
      if (!canonical.empty()) {
        return failure(ErrorKind::unsupported, path,
                       fmt::format("its element type {} is not read", unread.dtype), unread.name);
      }
      m_result.listing.push_back({unread.name, {}, path, unread.dtype, unread.shape});
      if (const Result<void> unique = check_unique(unread.name, {}, path); !unique) {
        return unique;
      }
    }
    return {};
  }

  CaptureFiles finish() { return std::move(m_result); }

private:
  struct Origin {
    std::string name;
    std::string file;
  };

  Result<void> check_unique(const std::string& name, const std::string& canonical,
                            const std::string& path) {
    if (const auto [known, added] = m_names.emplace(name, path); !added) {
      return failure(
          ErrorKind::schema, path,
          known->second == path
              ? std::string("stands twice in this file")
              : fmt::format("stands in {} too: a capture holds each tensor once; name the "
                            "files of one capture",
                            known->second),
          name);
    }
    if (canonical.empty()) {
      return {};
    }
    if (const auto [known, added] = m_meanings.emplace(canonical, Origin{name, path}); !added) {
      return failure(ErrorKind::schema, path,
                     fmt::format("means the same as \"{}\"{}, which is it? Both are read as {}",
                                 known->second.name,
                                 known->second.file == path ? "" : " of " + known->second.file,
                                 canonical),
                     name);
    }
    return {};
  }

  CaptureFiles m_result;
  std::map<std::string, std::string> m_names; // name -> file
  std::map<std::string, Origin> m_meanings;
};

} // namespace

std::shared_ptr<const Tensor> CaptureFiles::find(std::string_view canonical) const {
  const auto entry = tensors.find(canonical);
  return entry == tensors.end() ? nullptr : entry->second;
}

std::optional<std::string> CaptureFiles::find_metadata(std::string_view key,
                                                       std::string_view preferred_file) const {
  std::optional<std::string> found;
  for (const auto& [file, entries] : metadata) {
    for (const auto& [name, value] : entries) {
      const bool named = name == key || name.ends_with("." + std::string(key));
      if (named && (!found || file == preferred_file)) {
        found = value;
      }
    }
  }
  return found;
}

Result<CaptureFiles> open_capture_files(const std::vector<std::filesystem::path>& paths) {
  const Result<std::vector<fs::path>> files = expand(paths);
  if (!files) {
    return files.error();
  }
  Merger merger;
  for (const fs::path& path : *files) {
    Result<TensorFile> file = read_tensor_file(path);
    if (!file) {
      return file.error();
    }
    if (const Result<void> added = merger.add(std::move(*file)); !added) {
      return added.error();
    }
  }
  CaptureFiles result = merger.finish();
  if (result.listing.empty()) {
    return failure(ErrorKind::not_found, paths.empty() ? fs::path() : paths.front(),
                   "holds no tensors");
  }
  return result;
}

Result<CaptureFiles> gather_tensors(std::vector<std::shared_ptr<const Tensor>> tensors) {
  Merger merger;
  TensorFile memory;
  memory.path = "memory";
  memory.tensors = std::move(tensors);
  if (const Result<void> added = merger.add(std::move(memory)); !added) {
    return added.error();
  }
  return merger.finish();
}

} // namespace mla_scale::tensor
