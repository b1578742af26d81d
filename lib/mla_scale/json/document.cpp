#include "tokens.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/json/document.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <deque>
#include <unordered_set>
#include <utility>
#include <vector>

namespace mla_scale::json {

constexpr std::uint32_t k_none = 0xFFFFFFFFU;

// Not of an anonymous namespace: Value::Store has it as a field.
struct Node {
  Kind kind = Kind::null;
  std::uint32_t parent = k_none;
  std::uint32_t first_child = k_none;
  std::uint32_t next_sibling = k_none;
  std::uint32_t size = 0;
  std::uint32_t index_in_parent = 0;
  std::size_t offset = 0;
  std::int64_t integer = 0; // boolean too
  double number = 0;
  std::string_view key;    // into strings
  std::string_view string; // likewise
};

namespace {

std::string_view describe(Kind kind) {
  switch (kind) {
  case Kind::null:
    return "null";
  case Kind::boolean:
    return "a boolean";
  case Kind::integer:
    return "an integer";
  case Kind::number:
    return "a number with a fraction or exponent";
  case Kind::string:
    return "a string";
  case Kind::array:
    return "a list";
  case Kind::object:
    return "an object";
  }
  return "a value";
}

} // namespace

struct Value::Store {
  std::string text;
  std::string path;
  std::vector<Node> nodes;
  std::deque<std::string> strings; ///< a deque, so that views into it stay valid
  std::optional<LineTable> lines;
  std::vector<std::size_t> non_finite; ///< offsets of NaN, Infinity and -Infinity, ascending

  [[nodiscard]] const Node& node(std::uint32_t index) const { return nodes[index]; }
};

namespace {

/// The keys of one open object, to refuse the second of two equal ones. Few members are compared
/// one by one, which costs less than hashing; many are hashed, so that no file takes quadratic
/// time.
class SeenKeys {
public:
  /// False when the object at `object` already has the key.
  bool add(std::string_view key, const std::vector<Node>& nodes, std::uint32_t object) {
    constexpr std::uint32_t k_few = 64;
    const Node& parent = nodes[object];
    if (parent.size < k_few) {
      for (std::uint32_t at = parent.first_child; at != k_none; at = nodes[at].next_sibling) {
        if (nodes[at].key == key) {
          return false;
        }
      }
      return true;
    }
    if (m_many.empty()) {
      for (std::uint32_t at = parent.first_child; at != k_none; at = nodes[at].next_sibling) {
        m_many.insert(nodes[at].key);
      }
    }
    return m_many.insert(key).second;
  }

private:
  std::unordered_set<std::string_view> m_many;
};

/// Builds the node table from nlohmann's events; refuses depth, duplicates and values that do not
/// fit.
class Builder {
public:
  Builder(std::string_view text, std::vector<Node>& nodes, std::deque<std::string>& strings,
          std::size_t max_depth)
      : m_tokens(text), m_nodes(nodes), m_strings(strings), m_max_depth(max_depth) {}

  bool null() { return scalar(Kind::null); }
  bool boolean(bool value) { return scalar(Kind::boolean, value ? 1 : 0); }
  bool number_integer(std::int64_t value) {
    return scalar(Kind::integer, value, static_cast<double>(value));
  }
  bool number_unsigned(std::uint64_t value) {
    const bool fits = value <= static_cast<std::uint64_t>(INT64_MAX);
    return fits ? number_integer(static_cast<std::int64_t>(value))
                : scalar(Kind::number, 0, static_cast<double>(value));
  }
  bool number_float(double value, const std::string& /*raw*/) {
    return scalar(Kind::number, 0, value);
  }
  bool string(std::string& value) {
    if (!scalar(Kind::string)) {
      return false;
    }
    m_nodes.back().string = store(std::move(value));
    return true;
  }
  bool binary(std::vector<std::uint8_t>& /*value*/) { return false; }

  bool start_object(std::size_t /*count*/) { return open(Kind::object); }
  bool start_array(std::size_t /*count*/) { return open(Kind::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& value) {
    m_key_offset = m_tokens.next();
    m_key = store(std::move(value));
    if (!m_keys.back().add(m_key, m_nodes, m_open.back())) {
      m_failure = fmt::format("the key \"{}\" stands twice in the same object", m_key);
      m_failure_offset = m_key_offset;
      return false;
    }
    return true;
  }

  template <typename Exception>
  bool parse_error(std::size_t position, const std::string& /*token*/, const Exception& exception) {
    m_failure = exception.what();
    m_failure_offset = position == 0 ? 0 : position - 1;
    m_from_parser = true;
    return false;
  }

  [[nodiscard]] const std::string& failure() const { return m_failure; }
  [[nodiscard]] std::size_t failure_offset() const { return m_failure_offset; }
  [[nodiscard]] bool failed_in_parser() const { return m_from_parser; }
  [[nodiscard]] bool too_deep() const { return m_too_deep; }

private:
  std::string_view store(std::string value) { return m_strings.emplace_back(std::move(value)); }

  void add(Kind kind, std::size_t offset) {
    const auto index = static_cast<std::uint32_t>(m_nodes.size());
    Node node;
    node.kind = kind;
    node.offset = offset;
    if (!m_open.empty()) {
      Node& parent = m_nodes[m_open.back()];
      node.parent = m_open.back();
      node.index_in_parent = parent.size++;
      if (parent.kind == Kind::object) {
        node.key = m_key;
      }
      if (m_last.back() == k_none) {
        parent.first_child = index;
      } else {
        m_nodes[m_last.back()].next_sibling = index;
      }
      m_last.back() = index;
    }
    m_nodes.push_back(node);
  }

  bool scalar(Kind kind, std::int64_t integer = 0, double number = 0) {
    add(kind, m_tokens.next());
    m_nodes.back().integer = integer;
    m_nodes.back().number = number;
    return true;
  }

  bool open(Kind kind) {
    const std::size_t offset = m_tokens.next();
    if (m_open.size() >= m_max_depth) {
      m_failure = fmt::format("is nested deeper than {} levels", m_max_depth);
      m_failure_offset = offset;
      m_too_deep = true;
      return false;
    }
    add(kind, offset);
    m_open.push_back(static_cast<std::uint32_t>(m_nodes.size() - 1));
    m_last.push_back(k_none);
    m_keys.emplace_back();
    return true;
  }

  bool close() {
    m_tokens.next();
    m_open.pop_back();
    m_last.pop_back();
    m_keys.pop_back();
    return true;
  }

  TokenCursor m_tokens;
  std::vector<Node>& m_nodes;
  std::deque<std::string>& m_strings;
  std::size_t m_max_depth;
  std::vector<std::uint32_t> m_open;
  std::vector<std::uint32_t> m_last;
  std::vector<SeenKeys> m_keys;
  std::string_view m_key;
  std::size_t m_key_offset = 0;
  std::string m_failure;
  std::size_t m_failure_offset = 0;
  bool m_from_parser = false;
  bool m_too_deep = false;
};

/// What is wrong at `offset`, in words of a person who edits configs; nlohmann's own detail when
/// nothing common fits.
std::string describe_syntax(std::string_view text, std::size_t offset, const std::string& detail) {
  const std::size_t at = std::min(offset, text.size());
  const std::string_view rest = text.substr(at);
  const std::size_t before_at =
      at == 0 ? std::string_view::npos : text.find_last_not_of(" \t\r\n", at - 1);
  const char before = before_at == std::string_view::npos ? '\0' : text[before_at];
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return "is empty where JSON was expected";
  }
  if (detail.find("invalid UTF-8") != std::string::npos
      || detail.find("ill-formed UTF-8") != std::string::npos) {
    return "a string is not valid UTF-8";
  }
  if (detail.find("number overflow") != std::string::npos) {
    return "a number is too large for a double";
  }
  if (detail.find("unexpected end of input") != std::string::npos || at >= text.size()) {
    return "ends in the middle of a value: the file is truncated";
  }
  if ((rest[0] == '}' || rest[0] == ']') && before == ',') {
    return "trailing comma: JSON allows none before a closing bracket";
  }
  if (rest[0] == '/' || rest[0] == '#') {
    return "comment: JSON has none";
  }
  const auto near = text.substr(
      before_at == std::string_view::npos ? 0 : text.find_last_of(" \t\r\n,:[{", at) + 1, 16);
  for (const std::string_view literal : {"NaN", "-Infinity", "Infinity"}) {
    if (near.starts_with(literal) || rest.starts_with(literal)) {
      return fmt::format("{} is not a JSON number", literal);
    }
  }
  if (detail.find("control character") != std::string::npos) {
    return "a string holds a control character that must be escaped";
  }
  if (detail.find("expected end of input") != std::string::npos) {
    return "something follows after the end of the JSON value";
  }
  if (detail.find("missing closing quote") != std::string::npos) {
    return "a string has no closing quote";
  }
  const std::size_t cut = detail.find(" - ");
  const std::string reason = cut == std::string::npos ? detail : detail.substr(cut + 3);
  return "is not JSON: " + reason.substr(0, reason.find("; last read"));
}

/// Overwrites NaN, Infinity and -Infinity outside strings by a 0 and blanks, so that offsets stay,
/// and tells where.
std::vector<std::size_t> blank_non_finite(std::string& text) {
  std::vector<std::size_t> offsets;
  if (text.find("NaN") == std::string::npos && text.find("Infinity") == std::string::npos) {
    return offsets; // nearly every file
  }
  TokenCursor cursor(text);
  for (std::size_t at = cursor.next(); at < text.size(); at = cursor.next()) {
    const std::string_view token = std::string_view(text).substr(at, cursor.offset() - at);
    if (token == "NaN" || token == "Infinity" || token == "-Infinity") {
      offsets.push_back(at);
      text.replace(at, token.size(), "0" + std::string(token.size() - 1, ' '));
    }
    if (cursor.offset() == at) {
      break; // a byte that starts no token: the parser will say so
    }
  }
  return offsets;
}

} // namespace

Result<Document> Document::parse(std::string text, std::string path, const Limits& limits) {
  auto store = std::make_unique<Value::Store>();
  store->path = std::move(path);
  const auto fail = [&](ErrorKind kind, std::string message, Position position) {
    return Error{kind, std::move(message), store->path, {}, position};
  };
  if (text.size() > limits.max_bytes) {
    return fail(ErrorKind::unreadable,
                fmt::format("has {} bytes, more than the {} that such a file may have", text.size(),
                            limits.max_bytes),
                {});
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    return fail(
        ErrorKind::syntax,
        "starts with a UTF-8 byte order mark, which Python's json refuses: save it without one",
        {1, 1});
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return fail(ErrorKind::syntax, "is UTF-16 text; JSON files are UTF-8", {1, 1});
  }
  store->text = std::move(text);
  // nlohmann takes a NUL byte for the end of the text and would accept whatever follows.
  if (const std::size_t nul = store->text.find('\0'); nul != std::string::npos) {
    store->lines.emplace(store->text);
    return fail(ErrorKind::syntax,
                "holds a NUL byte, which no JSON text does: it is damaged, or UTF-16",
                store->lines->position(nul));
  }
  if (limits.allow_non_finite) {
    store->non_finite = blank_non_finite(store->text);
  }
  store->nodes.reserve(store->text.size() / 12 + 4);
  Builder builder(store->text, store->nodes, store->strings, limits.max_depth);
  const bool parsed = nlohmann::json::sax_parse(store->text, &builder);
  store->lines.emplace(store->text);
  if (!parsed) {
    const std::size_t offset = builder.failure_offset();
    std::string message = builder.failed_in_parser()
                              ? describe_syntax(store->text, offset, builder.failure())
                              : builder.failure();
    return fail(builder.too_deep() ? ErrorKind::unsupported : ErrorKind::syntax, std::move(message),
                store->lines->position(std::min(offset, store->text.size())));
  }
  return Document(std::move(store));
}

Document::Document(std::unique_ptr<Value::Store> store) : m_store(std::move(store)) {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

Value Document::root() const {
  return Value(m_store.get(), 0);
}

const std::string& Document::path() const {
  return m_store->path;
}

const std::string& Value::path() const {
  return m_store->path;
}

std::string_view Document::text() const {
  return m_store->text;
}

std::optional<Error> Document::non_finite() const {
  if (m_store->non_finite.empty()) {
    return std::nullopt;
  }
  return Error{ErrorKind::syntax,
               "NaN and Infinity are not JSON numbers",
               m_store->path,
               {},
               m_store->lines->position(m_store->non_finite.front())};
}

Kind Value::kind() const {
  return m_store->node(m_index).kind;
}

Position Value::position() const {
  return m_store->lines->position(m_store->node(m_index).offset);
}

std::string_view Value::key() const {
  return m_store->node(m_index).key;
}

void Value::append_pointer(std::string& text) const {
  const Node& node = m_store->node(m_index);
  if (node.parent == k_none) {
    return;
  }
  Value(m_store, node.parent).append_pointer(text);
  text += '/';
  if (m_store->node(node.parent).kind != Kind::object) {
    text += std::to_string(node.index_in_parent);
  } else if (node.key.find_first_of("~/") == std::string_view::npos) {
    text += node.key;
  } else {
    text += escape_pointer(node.key);
  }
}

std::string Value::pointer() const {
  std::string text;
  append_pointer(text);
  return text;
}

std::string Value::excerpt(std::size_t limit) const {
  TokenCursor cursor(std::string_view(m_store->text).substr(m_store->node(m_index).offset));
  cursor.next();
  std::string text = m_store->text.substr(m_store->node(m_index).offset, cursor.offset());
  if (kind() == Kind::object || kind() == Kind::array) {
    return std::string(describe(kind()));
  }
  return text.size() <= limit ? text : text.substr(0, limit) + "...";
}

std::optional<Value> Value::find(std::string_view key) const {
  if (kind() != Kind::object) {
    return std::nullopt;
  }
  const std::vector<Node>& nodes = m_store->nodes;
  for (std::uint32_t at = nodes[m_index].first_child; at != k_none; at = nodes[at].next_sibling) {
    if (nodes[at].key == key) {
      return Value(m_store, at);
    }
  }
  return std::nullopt;
}

std::size_t Value::size() const {
  return m_store->node(m_index).size;
}

std::optional<Value> Value::first() const {
  const std::uint32_t index = m_store->node(m_index).first_child;
  return index == k_none ? std::nullopt : std::optional<Value>(Value(m_store, index));
}

std::optional<Value> Value::next() const {
  const std::uint32_t index = m_store->node(m_index).next_sibling;
  return index == k_none ? std::nullopt : std::optional<Value>(Value(m_store, index));
}

Error Value::error(std::string message) const {
  return Error{ErrorKind::schema, std::move(message), m_store->path, pointer(), position()};
}

namespace {

constexpr std::size_t k_longest_number = 1000;

std::string name_of(const Value& value) {
  return value.key().empty() ? "the value" : std::string(value.key());
}

Error wrong_type(const Value& value, std::string_view expected) {
  const bool scalar =
      value.kind() != Kind::array && value.kind() != Kind::object && value.kind() != Kind::null;
  return value.error(fmt::format("{} must be {}, but {}{} stands there", name_of(value), expected,
                                 describe(value.kind()),
                                 scalar ? " (" + value.excerpt() + ")" : ""));
}

/// True for digits alone: an integer that the parser could only keep as a floating-point number.
bool is_written_as_integer(std::string_view text) {
  const std::size_t sign = text.starts_with('-') ? 1 : 0;
  return text.find_first_not_of("0123456789", sign) == std::string_view::npos;
}

} // namespace

Result<std::int64_t> Value::as_integer() const {
  if (kind() == Kind::number && is_written_as_integer(excerpt(k_longest_number))) {
    return error(
        fmt::format("{} is {}, too large for any integer of 64 bits", name_of(*this), excerpt()));
  }
  if (kind() != Kind::integer) {
    return wrong_type(*this, "an integer");
  }
  return m_store->node(m_index).integer;
}

Result<double> Value::as_number() const {
  if (!is_number()) {
    return wrong_type(*this, "a number");
  }
  return m_store->node(m_index).number;
}

Result<bool> Value::as_boolean() const {
  if (kind() != Kind::boolean) {
    return wrong_type(*this, "true or false");
  }
  return m_store->node(m_index).integer != 0;
}

Result<std::string_view> Value::as_string() const {
  if (kind() != Kind::string) {
    return wrong_type(*this, "a string");
  }
  return m_store->node(m_index).string;
}

std::optional<Value> resolve(Value value, std::string_view pointer) {
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::string_view token = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(token.size());
    std::string key;
    for (std::size_t i = 0; i < token.size(); ++i) {
      if (token[i] == '~' && i + 1 < token.size()) {
        key += token[++i] == '0' ? '~' : '/';
      } else {
        key += token[i];
      }
    }
    const std::optional<Value> member = value.find(key);
    if (!member) {
      return std::nullopt;
    }
    value = *member;
  }
  return value;
}

std::string escape_pointer(std::string_view key) {
  std::string escaped;
  escaped.reserve(key.size());
  for (const char c : key) {
    if (c == '~' || c == '/') {
      escaped += c == '~' ? "~0" : "~1";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

} // namespace mla_scale::json
