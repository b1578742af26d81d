#pragma once

#include <mla_scale/core/result.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace mla_scale::json {

enum class Kind { null, boolean, integer, number, string, array, object };

/// What a reader accepts before it gives up; every bound is an Error, never a crash.
struct Limits {
  std::size_t max_bytes = std::size_t{64} << 20;
  std::size_t max_depth = 200;
  /// Python's json writes and reads NaN and Infinity. When allowed they parse, but no getter
  /// returns them.
  bool allow_non_finite = false;
};

class Document;

/// One value inside a Document: a handle that stays valid as long as the Document lives (also when
/// it is moved).
class Value {
public:
  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is_null() const { return kind() == Kind::null; }
  [[nodiscard]] bool is_object() const { return kind() == Kind::object; }
  [[nodiscard]] bool is_array() const { return kind() == Kind::array; }
  [[nodiscard]] bool is_string() const { return kind() == Kind::string; }
  [[nodiscard]] bool is_number() const { return kind() == Kind::integer || kind() == Kind::number; }

  /// Where the value starts in the file: lines and Unicode characters (code points), from 1.
  [[nodiscard]] Position position() const;
  /// The document's path.
  [[nodiscard]] const std::string& path() const;
  /// RFC 6901 pointer from the root, for example "/rope_scaling/factor".
  [[nodiscard]] std::string pointer() const;
  /// The value as it stands in the file, shortened to `limit` bytes; for messages.
  [[nodiscard]] std::string excerpt(std::size_t limit = 40) const;

  /// Member of an object; nothing when absent or when this is no object.
  [[nodiscard]] std::optional<Value> find(std::string_view key) const;
  /// Number of members or elements; 0 for anything else.
  [[nodiscard]] std::size_t size() const;
  /// First member or element, then its successors in file order.
  [[nodiscard]] std::optional<Value> first() const;
  [[nodiscard]] std::optional<Value> next() const;
  /// Key of a member of an object; empty for elements and for the root.
  [[nodiscard]] std::string_view key() const;

  /// Checked getters. Nothing is converted: 1.5 and "128" and true are not integers, and an integer
  /// that does not fit is an Error. Error: schema, naming the key, what was expected and what
  /// stands there.
  [[nodiscard]] Result<std::int64_t> as_integer() const;
  /// Integer or real; finite.
  [[nodiscard]] Result<double> as_number() const;
  [[nodiscard]] Result<bool> as_boolean() const;
  [[nodiscard]] Result<std::string_view> as_string() const;

  /// An Error of kind schema at this value.
  [[nodiscard]] Error error(std::string message) const;

private:
  friend class Document;
  struct Store;
  Value(const Store* store, std::uint32_t index) : m_store(store), m_index(index) {}
  void append_pointer(std::string& text) const;

  const Store* m_store;
  std::uint32_t m_index;
};

/// A parsed JSON text that remembers where each value stands.
///
/// Strict, since what reads configs in practice is Python's json: no comments, no trailing commas,
/// no byte order mark. NaN and Infinity are refused too, and so are duplicate keys, where parsers
/// differ in which one counts.
class Document {
public:
  /// `path` is used in errors only. Errors: syntax with line and column; unreadable above the
  /// limits.
  [[nodiscard]] static Result<Document> parse(std::string text, std::string path,
                                              const Limits& limits = {});

  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  ~Document();

  [[nodiscard]] Value root() const;
  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] std::string_view text() const;
  /// The first NaN or Infinity, as an Error at its place; empty when there is none.
  [[nodiscard]] std::optional<Error> non_finite() const;

private:
  explicit Document(std::unique_ptr<Value::Store> store);
  std::unique_ptr<Value::Store> m_store;
};

/// The value that an RFC 6901 pointer names below `value`, or nothing.
[[nodiscard]] std::optional<Value> resolve(Value value, std::string_view pointer);

/// RFC 6901 escaping of one reference token: '~' becomes "~0", '/' becomes "~1".
[[nodiscard]] std::string escape_pointer(std::string_view key);

} // namespace mla_scale::json
