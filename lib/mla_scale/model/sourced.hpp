#pragma once

#include <mla_scale/core/error.hpp>

#include <optional>
#include <string>
#include <utility>

namespace mla_scale::model {

/// Where a value comes from, so that every number in a report can be followed to a key in a file or
/// to a reason.
struct Origin {
  enum class Kind {
    absent,    ///< the file does not have it and nothing stands in for it
    null,      ///< the key is there and says null
    read,      ///< read from `file` at `pointer`
    defaulted, ///< the file does not have it; `reason` says whose default is used
    derived,   ///< computed from other values, as `reason` says
  };
  Kind kind = Kind::absent;
  std::string file;
  std::string pointer; ///< JSON pointer, or the key of a GGUF
  Position position;   ///< unknown for binary files
  std::string reason;
};

/// A value together with its origin. Empty when absent or null.
template <typename T>
struct Sourced {
  std::optional<T> value;
  Origin origin;

  Sourced() = default;
  Sourced(T known, Origin from) : value(std::move(known)), origin(std::move(from)) {}

  /// A value that stands in for a missing key.
  static Sourced defaulted(T known, std::string reason) {
    return Sourced(std::move(known),
                   Origin{Origin::Kind::defaulted, {}, {}, {}, std::move(reason)});
  }
  /// A value computed from others.
  static Sourced derived(T known, std::string reason) {
    return Sourced(std::move(known), Origin{Origin::Kind::derived, {}, {}, {}, std::move(reason)});
  }

  [[nodiscard]] bool was_read() const { return origin.kind == Origin::Kind::read; }
  [[nodiscard]] bool is_in_file() const { return was_read() || origin.kind == Origin::Kind::null; }
  explicit operator bool() const { return value.has_value(); }
  const T& operator*() const { return *value; }
  [[nodiscard]] T value_or(T fallback) const { return value.value_or(std::move(fallback)); }
};

} // namespace mla_scale::model
