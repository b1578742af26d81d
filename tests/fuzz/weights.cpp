// What `audit` reads beside a config: an index of shards up to the first zero byte when the input
// starts as JSON, then the header of the shard.

#include "promise.hpp"
#include "targets.hpp"

#include <mla_scale/audit/weights.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

namespace {

namespace fs = std::filesystem;

const fs::path& directory() {
  static const fs::path path = [] {
    std::string pattern = fs::is_directory("/dev/shm") ? "/dev/shm/mla-scale-fuzz-XXXXXX"
                                                       : "/tmp/mla-scale-fuzz-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
      std::abort();
    }
    return fs::path(pattern);
  }();
  static const int registered = std::atexit([] { fs::remove_all(directory()); });
  static_cast<void>(registered);
  return path;
}

} // namespace

void fuzz_weights(std::span<const std::uint8_t> bytes) {
  const std::string input(bytes.begin(), bytes.end());
  const std::string shard = "model-00001-of-00001.safetensors";
  const std::string index = "model.safetensors.index.json";
  const std::size_t end =
      input.starts_with("{") ? std::min(input.find('\0'), input.size()) : std::string::npos;
  std::vector<std::string> names = {shard};
  if (end != std::string::npos) {
    std::ofstream(directory() / index, std::ios::binary) << input.substr(0, end);
    names.push_back(index);
  }
  std::ofstream(directory() / shard, std::ios::binary)
      << (end == std::string::npos ? input : input.substr(std::min(end + 1, input.size())));
  const auto weights = mla_scale::audit::read_attention_weights(directory(), names);
  promise(weights || !to_string(weights.error()).empty(), "an error says what is wrong");
}
