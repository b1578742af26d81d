#include "element.hpp"

#include <mla_scale/tensor/pickle.hpp>

#include <fmt/format.h>

#include <map>
#include <optional>

namespace mla_scale::tensor {
namespace {

/// Opcodes by their names in CPython's pickle.py.
enum Opcode : std::uint8_t {
  k_mark = '(',
  k_stop = '.',
  k_pop = '0',
  k_pop_mark = '1',
  k_dup = '2',
  k_binfloat = 'G',
  k_binint = 'J',
  k_binint1 = 'K',
  k_binint2 = 'M',
  k_none = 'N',
  k_binpersid = 'Q',
  k_reduce = 'R',
  k_binstring = 'T',
  k_short_binstring = 'U',
  k_binunicode = 'X',
  k_append = 'a',
  k_build = 'b',
  k_global = 'c',
  k_appends = 'e',
  k_binget = 'h',
  k_long_binget = 'j',
  k_setitem = 's',
  k_tuple = 't',
  k_setitems = 'u',
  k_empty_dict = '}',
  k_empty_list = ']',
  k_empty_tuple = ')',
  k_binput = 'q',
  k_long_binput = 'r',
  k_proto = 0x80,
  k_tuple1 = 0x85,
  k_tuple2 = 0x86,
  k_tuple3 = 0x87,
  k_newtrue = 0x88,
  k_newfalse = 0x89,
  k_long1 = 0x8A,
  k_short_binunicode = 0x8C,
  k_binunicode8 = 0x8D,
  k_stack_global = 0x93,
  k_memoize = 0x94,
  k_frame = 0x95,
};

constexpr std::string_view k_not_executed = "; nothing was executed";

class Machine {
public:
  Machine(std::span<const std::byte> bytes, const std::string& path,
          bool (*is_allowed)(std::string_view))
      : m_bytes(bytes), m_path(path), m_is_allowed(is_allowed) {}

  Result<Pickle> run() {
    if (m_bytes.size() > k_max_pickle_bytes) {
      return error(ErrorKind::unsupported,
                   fmt::format("its pickle has {} bytes; at most {} are read", m_bytes.size(),
                               k_max_pickle_bytes));
    }
    while (m_failure.empty()) {
      const std::size_t start = m_at;
      const auto opcode = static_cast<std::uint8_t>(unsigned_number(1));
      if (m_failure.empty() && opcode == k_stop) {
        break;
      }
      if (m_failure.empty()) {
        step(static_cast<Opcode>(opcode), start);
      }
    }
    if (m_failure.empty()) {
      m_pickle.root = pop();
    }
    if (!m_failure.empty()) {
      return error(m_kind, m_failure + std::string(k_not_executed));
    }
    return std::move(m_pickle);
  }

private:
  Error error(ErrorKind kind, std::string message) const {
    return Error{kind, std::move(message), m_path, "data.pkl", {}};
  }

  void fail(std::string message, ErrorKind kind = ErrorKind::syntax) {
    if (m_failure.empty()) {
      m_failure = std::move(message);
      m_kind = kind;
    }
  }

  std::string_view take(std::uint64_t count) {
    if (count > m_bytes.size() - m_at) {
      fail("its pickle ends in the middle: truncated");
      return {};
    }
    const auto* begin = reinterpret_cast<const char*>(m_bytes.data()) + m_at;
    m_at += count;
    return {begin, count};
  }

  std::uint64_t unsigned_number(std::size_t size) {
    const std::string_view bytes = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      value = value << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return value;
  }

  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(m_bytes.data()) + m_at,
                                m_bytes.size() - m_at);
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
      fail("its pickle ends in the middle: truncated");
      return {};
    }
    m_at += end + 1;
    return rest.substr(0, end);
  }

  std::uint32_t push(PickleObject object) {
    if (m_pickle.objects.size() >= k_max_pickle_objects) {
      fail(fmt::format("its pickle holds more than {} objects", k_max_pickle_objects),
           ErrorKind::unsupported);
      return 0;
    }
    m_pickle.objects.push_back(std::move(object));
    const auto index = static_cast<std::uint32_t>(m_pickle.objects.size() - 1);
    m_stack.push_back(index);
    return index;
  }

  void push_integer(PickleKind kind, std::int64_t value) {
    PickleObject object;
    object.kind = kind;
    object.integer = value;
    push(std::move(object));
  }

  void push_text(std::string_view text) {
    PickleObject object;
    object.kind = PickleKind::text;
    object.text = text;
    push(std::move(object));
  }

  void push_children(PickleKind kind, std::vector<std::uint32_t> children) {
    PickleObject object;
    object.kind = kind;
    object.children = std::move(children);
    push(std::move(object));
  }

  [[nodiscard]] std::size_t floor() const { return m_marks.empty() ? 0 : m_marks.back(); }

  std::uint32_t pop() {
    if (m_stack.size() <= floor()) {
      fail("its pickle takes more from its stack than is there");
      return 0;
    }
    const std::uint32_t top = m_stack.back();
    m_stack.pop_back();
    return top;
  }

  std::uint32_t top() {
    const std::uint32_t index = pop();
    if (m_failure.empty()) {
      m_stack.push_back(index);
    }
    return index;
  }

  std::vector<std::uint32_t> pop_many(std::size_t count) {
    std::vector<std::uint32_t> values(count);
    for (std::size_t i = count; i-- > 0;) {
      values[i] = pop();
    }
    return values;
  }

  std::vector<std::uint32_t> pop_to_mark() {
    if (m_marks.empty()) {
      fail("its pickle closes what it did not open");
      return {};
    }
    std::vector<std::uint32_t> values(m_stack.begin() + static_cast<std::ptrdiff_t>(m_marks.back()),
                                      m_stack.end());
    m_stack.resize(m_marks.back());
    m_marks.pop_back();
    return values;
  }

  void push_global(std::string_view module, std::string_view name) {
    const std::string global = fmt::format("{}.{}", module, name);
    if (m_failure.empty() && !m_is_allowed(global)) {
      fail(fmt::format("its pickle asks for {}, which no tensor needs", global.substr(0, 200)),
           ErrorKind::unsupported);
    }
    PickleObject object;
    object.kind = PickleKind::global;
    object.text = global;
    push(std::move(object));
  }

  /// Adds to the container below the given values; `as` is what it must be.
  void extend(PickleKind as, std::span<const std::uint32_t> values) {
    const std::uint32_t container = top();
    if (!m_failure.empty()) {
      return;
    }
    PickleObject& object = m_pickle.objects[container];
    // An OrderedDict is a call without arguments that is filled afterwards.
    const bool ordered = as == PickleKind::dict && object.kind == PickleKind::call
                         && object.text == "collections.OrderedDict";
    if ((object.kind != as && !ordered) || (as == PickleKind::dict && values.size() % 2 != 0)) {
      fail("its pickle fills something that is no list or dict");
      return;
    }
    m_links += values.size();
    if (m_links > 4 * k_max_pickle_objects) {
      fail("its pickle links too many objects", ErrorKind::unsupported);
      return;
    }
    object.kind = as;
    object.children.insert(object.children.end(), values.begin(), values.end());
  }

  void reduce() {
    const std::uint32_t arguments = pop();
    const std::uint32_t function = pop();
    if (!m_failure.empty()) {
      return;
    }
    if (m_pickle[function].kind != PickleKind::global
        || m_pickle[arguments].kind != PickleKind::tuple) {
      fail("its pickle calls something that is no function", ErrorKind::unsupported);
      return;
    }
    PickleObject call;
    call.kind = PickleKind::call;
    call.text = m_pickle[function].text;
    call.children = m_pickle[arguments].children;
    m_links += call.children.size();
    if (m_links > 4 * k_max_pickle_objects) {
      fail("its pickle links too many objects", ErrorKind::unsupported);
      return;
    }
    push(std::move(call));
  }

  void remember(std::uint64_t key) {
    const std::uint32_t index = top();
    if (m_failure.empty()) {
      m_memo[key] = index;
    }
  }

  void recall(std::uint64_t key) {
    const auto entry = m_memo.find(key);
    if (entry == m_memo.end()) {
      fail("its pickle recalls what it did not remember");
      return;
    }
    m_stack.push_back(entry->second);
    if (m_stack.size() > k_max_pickle_objects * 4) {
      fail("its pickle's stack grows too large", ErrorKind::unsupported);
    }
  }

  void push_long(std::size_t size) {
    if (size > 8) {
      fail("its pickle holds an integer of more than 64 bits", ErrorKind::unsupported);
      return;
    }
    std::uint64_t value = unsigned_number(size);
    if (size > 0 && size < 8 && (value >> (8 * size - 1) & 1U) != 0) {
      value |= ~std::uint64_t{0} << (8 * size);
    }
    push_integer(PickleKind::integer, static_cast<std::int64_t>(value));
  }

  void step(Opcode opcode, std::size_t start) {
    switch (opcode) {
    case k_proto:
      if (const std::uint64_t version = unsigned_number(1); version < 2 || version > 5) {
        fail(fmt::format("its pickle has protocol {}; 2 to 5 are read", version),
             ErrorKind::unsupported);
      }
      break;
    case k_frame:
      unsigned_number(8);
      break;
    case k_mark:
      m_marks.push_back(m_stack.size());
      break;
    case k_none:
      push({});
      break;
    case k_newtrue:
    case k_newfalse:
      push_integer(PickleKind::boolean, opcode == k_newtrue ? 1 : 0);
      break;
    case k_binint:
      push_integer(PickleKind::integer, static_cast<std::int32_t>(unsigned_number(4)));
      break;
    case k_binint1:
      push_integer(PickleKind::integer, static_cast<std::int64_t>(unsigned_number(1)));
      break;
    case k_binint2:
      push_integer(PickleKind::integer, static_cast<std::int64_t>(unsigned_number(2)));
      break;
    case k_long1:
      push_long(unsigned_number(1));
      break;
    case k_binfloat: {
      PickleObject object;
      object.kind = PickleKind::real;
      object.real = std::bit_cast<double>(swap_bytes(unsigned_number(8)));
      push(std::move(object));
      break;
    }
    case k_short_binstring:
    case k_short_binunicode:
      push_text(take(unsigned_number(1)));
      break;
    case k_binstring:
    case k_binunicode:
      push_text(take(unsigned_number(4)));
      break;
    case k_binunicode8:
      push_text(take(unsigned_number(8)));
      break;
    case k_empty_tuple:
      push_children(PickleKind::tuple, {});
      break;
    case k_empty_list:
      push_children(PickleKind::list, {});
      break;
    case k_empty_dict:
      push_children(PickleKind::dict, {});
      break;
    case k_tuple1:
    case k_tuple2:
    case k_tuple3:
      push_children(PickleKind::tuple, pop_many(static_cast<std::size_t>(opcode - k_tuple1 + 1)));
      break;
    case k_tuple:
      push_children(PickleKind::tuple, pop_to_mark());
      break;
    case k_append:
      extend(PickleKind::list, pop_many(1));
      break;
    case k_appends:
      extend(PickleKind::list, pop_to_mark());
      break;
    case k_setitem:
      extend(PickleKind::dict, pop_many(2));
      break;
    case k_setitems:
      extend(PickleKind::dict, pop_to_mark());
      break;
    case k_pop:
      pop();
      break;
    case k_pop_mark:
      pop_to_mark();
      break;
    case k_dup:
      m_stack.push_back(top());
      break;
    case k_binput:
      remember(unsigned_number(1));
      break;
    case k_long_binput:
      remember(unsigned_number(4));
      break;
    case k_memoize:
      remember(m_memo.size());
      break;
    case k_binget:
      recall(unsigned_number(1));
      break;
    case k_long_binget:
      recall(unsigned_number(4));
      break;
    case k_global: {
      const std::string_view module = line();
      push_global(module, line());
      break;
    }
    case k_stack_global: {
      const std::uint32_t name = pop();
      const std::uint32_t module = pop();
      if (m_failure.empty() && m_pickle[name].kind == PickleKind::text
          && m_pickle[module].kind == PickleKind::text) {
        // Copies: pushing moves the objects.
        const std::string names[] = {m_pickle[module].text, m_pickle[name].text};
        push_global(names[0], names[1]);
      } else {
        fail("its pickle names a global that is no text");
      }
      break;
    }
    case k_binpersid:
      push_children(PickleKind::persistent, pop_many(1));
      break;
    case k_reduce:
      reduce();
      break;
    case k_build:
      // State of a state_dict (its _metadata): nothing that a tensor needs.
      pop();
      if (const std::uint32_t object = top();
          m_failure.empty() && m_pickle[object].text != "collections.OrderedDict") {
        fail("its pickle sets the state of an object that is no dict", ErrorKind::unsupported);
      }
      break;
    case k_stop:
      break;
    default:
      fail(fmt::format("its pickle uses opcode 0x{:02x} at byte {}, which no tensor needs",
                       static_cast<unsigned>(opcode), start),
           ErrorKind::unsupported);
    }
    if (m_stack.size() > 4 * k_max_pickle_objects || m_marks.size() > k_max_pickle_objects) {
      fail("its pickle's stack grows too large", ErrorKind::unsupported);
    }
  }

  std::span<const std::byte> m_bytes;
  const std::string& m_path;
  bool (*m_is_allowed)(std::string_view);
  std::size_t m_at = 0;
  std::size_t m_links = 0;
  Pickle m_pickle;
  std::vector<std::uint32_t> m_stack;
  std::vector<std::size_t> m_marks;
  std::map<std::uint64_t, std::uint32_t> m_memo;
  std::string m_failure;
  ErrorKind m_kind = ErrorKind::syntax;
};

} // namespace

Result<Pickle> parse_pickle(std::span<const std::byte> bytes, const std::string& path,
                            bool (*is_allowed)(std::string_view global)) {
  return Machine(bytes, path, is_allowed).run();
}

} // namespace mla_scale::tensor
