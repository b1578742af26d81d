#pragma once

#include <mla_scale/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mla_scale::tensor {

/// What an object of a pickle is. `global` is a name that the pickle refers to and that nobody
/// looks up; `call` is a global with arguments that nobody calls.
enum class PickleKind {
  none,
  boolean,
  integer,
  real,
  text,
  tuple,
  list,
  dict,
  global,
  call,
  persistent, ///< a reference to something outside the pickle, by its id
};

/// One object, referring to others by their index in Pickle::objects.
struct PickleObject {
  PickleKind kind = PickleKind::none;
  std::int64_t integer = 0; ///< boolean too
  double real = 0;
  std::string text;                    ///< of a text; "module.name" of a global and of a call
  std::vector<std::uint32_t> children; ///< elements; key, value, key, value; arguments; the id
};

/// A pickle as data. Objects may refer to themselves: whoever walks them bounds the depth.
struct Pickle {
  std::vector<PickleObject> objects;
  std::uint32_t root = 0;

  [[nodiscard]] const PickleObject& operator[](std::uint32_t index) const { return objects[index]; }
};

/// Largest pickle that is read, in bytes and in objects.
inline constexpr std::size_t k_max_pickle_bytes = std::size_t{16} << 20;
inline constexpr std::size_t k_max_pickle_objects = std::size_t{1} << 20;

/// Reads the pickle opcodes, protocols 2 to 5, that torch.save writes for tensors, dicts, lists and
/// numbers. Nothing is imported, called or executed: calls are recorded.
///
/// `is_allowed` decides which globals ("torch._utils._rebuild_tensor_v2") may be named.
/// Source: CPython, Lib/pickletools.py.
/// Errors: unsupported, naming the global or opcode, for what is not understood; syntax for what no
/// pickle is. The message says that nothing was executed.
[[nodiscard]] Result<Pickle> parse_pickle(std::span<const std::byte> bytes, const std::string& path,
                                          bool (*is_allowed)(std::string_view global));

} // namespace mla_scale::tensor
