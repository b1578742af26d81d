#include "gguf_file.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <vector>

namespace mla_scale::model {
namespace {

// The bounds of llama.cpp's own reader (ggml/src/gguf.cpp) are 1 GiB strings and 1G elements; no
// metadata that counts here comes near these.
constexpr std::uint64_t k_longest_key = 65535;
constexpr std::uint64_t k_longest_kept_string = 65536;
constexpr std::uint64_t k_most_keys = 65536;
constexpr int k_deepest_array = 8;

enum Type : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64,
  type_count
};

std::uint64_t size_of(std::uint32_t type) {
  constexpr std::uint64_t k_sizes[type_count] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return k_sizes[type];
}

/// Sequential little-endian reader that never goes past the end of the file.
class Cursor {
public:
  Cursor(std::ifstream& stream, std::uint64_t size) : m_stream(stream), m_left(size) {}

  bool bytes(void* to, std::uint64_t count) {
    if (count > m_left
        || !m_stream.read(static_cast<char*>(to), static_cast<std::streamsize>(count))) {
      return false;
    }
    m_left -= count;
    return true;
  }

  bool skip(std::uint64_t count) {
    if (count > m_left || !m_stream.seekg(static_cast<std::streamoff>(count), std::ios::cur)) {
      return false;
    }
    m_left -= count;
    return true;
  }

  template <typename T>
  bool number(T& to) {
    return bytes(&to, sizeof to);
  }

  [[nodiscard]] std::uint64_t left() const { return m_left; }

private:
  std::ifstream& m_stream;
  std::uint64_t m_left;
};

static_assert(std::endian::native == std::endian::little,
              "the GGUF reader copies little-endian numbers as they are");

/// What the reader was about to do when it failed.
struct Failure {
  std::string message;
  ErrorKind kind = ErrorKind::syntax;
};

using Step = std::optional<Failure>;

Step truncated(std::string_view what) {
  return Failure{
      fmt::format("ends inside {}: the file is truncated, or a length in it is wrong", what)};
}

Step skip_string(Cursor& cursor, std::string_view key) {
  std::uint64_t length = 0;
  if (!cursor.number(length)) {
    return truncated(key);
  }
  if (length > cursor.left()) {
    return Failure{fmt::format("a string of {} claims {} bytes, past the end of the file",
                               escape_control(key), length)};
  }
  cursor.skip(length);
  return std::nullopt;
}

Step skip_array(Cursor& cursor, std::string_view key, int depth) {
  std::uint32_t type = 0;
  std::uint64_t count = 0;
  if (!cursor.number(type) || !cursor.number(count)) {
    return truncated(key);
  }
  if (type >= type_count) {
    return Failure{fmt::format("{} is an array of the unknown type {}", escape_control(key), type)};
  }
  if (depth >= k_deepest_array) {
    return Failure{
        fmt::format("{} nests arrays deeper than {} levels", escape_control(key), k_deepest_array)};
  }
  const std::uint64_t smallest = type == string ? 8 : type == array ? 12 : size_of(type);
  if (count > cursor.left() / smallest) {
    return Failure{
        fmt::format("{} claims {} elements, past the end of the file", escape_control(key), count)};
  }
  if (type != string && type != array) {
    cursor.skip(count * size_of(type));
    return std::nullopt;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    Step step = type == string ? skip_string(cursor, key) : skip_array(cursor, key, depth + 1);
    if (step) {
      return step;
    }
  }
  return std::nullopt;
}

template <typename T>
Step read_number(Cursor& cursor, std::string_view key, GgufFile::Value& to) {
  T number{};
  if (!cursor.number(number)) {
    return truncated(key);
  }
  if constexpr (std::is_same_v<T, float>) {
    to = std::strtod(fmt::format("{}", number).c_str(), nullptr);
  } else if constexpr (std::is_same_v<T, double>) {
    to = number;
  } else {
    if (std::is_same_v<T, std::uint64_t> && static_cast<std::uint64_t>(number) > INT64_MAX) {
      return Failure{fmt::format("{} is {}, too large", escape_control(key), number)};
    }
    to = static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

Step read_string(Cursor& cursor, std::string_view key, GgufFile::Value& to) {
  std::uint64_t length = 0;
  if (!cursor.number(length)) {
    return truncated(key);
  }
  if (length > cursor.left()) {
    return Failure{
        fmt::format("{} claims {} bytes, past the end of the file", escape_control(key), length)};
  }
  if (length > k_longest_kept_string) {
    cursor.skip(length);
    to = std::string();
    return std::nullopt;
  }
  std::string value(length, '\0');
  if (!cursor.bytes(value.data(), length)) {
    return truncated(key);
  }
  to = std::move(value);
  return std::nullopt;
}

Step read_value(Cursor& cursor, const std::string& key, std::uint32_t type, GgufFile::Value& to) {
  switch (type) {
  case u8:
    return read_number<std::uint8_t>(cursor, key, to);
  case i8:
    return read_number<std::int8_t>(cursor, key, to);
  case u16:
    return read_number<std::uint16_t>(cursor, key, to);
  case i16:
    return read_number<std::int16_t>(cursor, key, to);
  case u32:
    return read_number<std::uint32_t>(cursor, key, to);
  case i32:
    return read_number<std::int32_t>(cursor, key, to);
  case f32:
    return read_number<float>(cursor, key, to);
  case u64:
    return read_number<std::uint64_t>(cursor, key, to);
  case i64:
    return read_number<std::int64_t>(cursor, key, to);
  case f64:
    return read_number<double>(cursor, key, to);
  case boolean: {
    std::uint8_t truth = 0;
    if (!cursor.number(truth)) {
      return truncated(key);
    }
    to = truth != 0;
    return std::nullopt;
  }
  case string:
    return read_string(cursor, key, to);
  default:
    return Failure{fmt::format("{} has the unknown type {}", escape_control(key), type)};
  }
}

bool is_array(std::uint32_t type) {
  return type == array;
}

Step read_header(Cursor& cursor, std::uint64_t& keys) {
  char magic[4] = {};
  std::uint32_t version = 0;
  std::uint64_t tensors = 0;
  if (!cursor.bytes(magic, sizeof magic)) {
    return truncated("the magic");
  }
  if (std::memcmp(magic, "GGUF", sizeof magic) != 0) {
    return Failure{"does not start with the magic GGUF"};
  }
  if (!cursor.number(version)) {
    return truncated("the version");
  }
  if ((version & 0xFFFFU) == 0) {
    return Failure{"is a big-endian GGUF, which is not read here", ErrorKind::unsupported};
  }
  if (version != 2 && version != 3) {
    return Failure{fmt::format("has GGUF version {}; 2 and 3 are known", version),
                   ErrorKind::unsupported};
  }
  if (!cursor.number(tensors) || !cursor.number(keys)) {
    return truncated("the header");
  }
  if (keys > k_most_keys) {
    return Failure{fmt::format("claims {} metadata keys, more than the {} that a model may have",
                               keys, k_most_keys)};
  }
  return std::nullopt;
}

Step read_metadata(Cursor& cursor, std::map<std::string, GgufFile::Value>& values) {
  std::uint64_t keys = 0;
  if (Step step = read_header(cursor, keys)) {
    return step;
  }
  for (std::uint64_t i = 0; i < keys; ++i) {
    const std::string where = fmt::format("metadata key {} of {}", i + 1, keys);
    std::uint64_t length = 0;
    if (!cursor.number(length)) {
      return truncated(where);
    }
    if (length > k_longest_key || length > cursor.left()) {
      return Failure{fmt::format("{} claims a name of {} bytes", where, length)};
    }
    std::string key(length, '\0');
    std::uint32_t type = 0;
    if (!cursor.bytes(key.data(), length) || !cursor.number(type)) {
      return truncated(where);
    }
    if (is_array(type)) {
      if (Step step = skip_array(cursor, key, 0)) {
        return step;
      }
      continue;
    }
    GgufFile::Value value;
    if (Step step = read_value(cursor, key, type, value)) {
      return step;
    }
    const bool kept = !key.starts_with("tokenizer.");
    if (kept && !values.emplace(key, std::move(value)).second) {
      return Failure{fmt::format("the key {} stands twice", escape_control(key))};
    }
  }
  return std::nullopt;
}

} // namespace

Result<GgufFile> GgufFile::read(const std::filesystem::path& path) {
  // Refuses what is not a regular file before a stream is opened on it.
  if (const auto head = read_file_head(path, 4); !head) {
    return head.error();
  }
  std::ifstream stream(path, std::ios::binary);
  std::error_code failed;
  const std::uint64_t size = std::filesystem::file_size(path, failed);
  if (!stream || failed) {
    return Error{ErrorKind::unreadable, "cannot be opened", path.string(), {}, {}};
  }
  Cursor cursor(stream, size);
  GgufFile file;
  if (Step step = read_metadata(cursor, file.m_values)) {
    return Error{step->kind, step->message, path.string(), {}, {}};
  }
  return file;
}

const GgufFile::Value* GgufFile::find(const std::string& key) const {
  const auto found = m_values.find(key);
  return found == m_values.end() ? nullptr : &found->second;
}

} // namespace mla_scale::model
