#pragma once

#include <mla_scale/core/result.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>

namespace mla_scale::model {

/// The scalar metadata of a GGUF file; arrays are walked past without being stored.
///
/// Layout (ggml docs/gguf.md@01f0d4da): magic "GGUF", u32 version, u64 tensor count, u64 key/value
/// count, then for each key: string, u32 type, value; little-endian, no padding. Floats are read as
/// the shortest decimal that gives the same float32, since that is what the converter started from
/// (0.0707, not 0.07069999724626541).
class GgufFile {
public:
  using Value = std::variant<std::int64_t, double, bool, std::string>;

  /// Reads the metadata of `path`. Errors: not_found, unreadable, syntax for a wrong magic, a
  /// big-endian file, counts or lengths that do not fit the file, unknown types, duplicate keys;
  /// unsupported for versions other than 2 and 3. Reads no further than the last key; memory stays
  /// below 4 MiB.
  [[nodiscard]] static Result<GgufFile> read(const std::filesystem::path& path);

  [[nodiscard]] const Value* find(const std::string& key) const;
  [[nodiscard]] const std::map<std::string, Value>& values() const { return m_values; }

private:
  std::map<std::string, Value> m_values;
};

} // namespace mla_scale::model
