#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mla_scale {

/// Why a job could not be done. A finding or a mismatch is a result, never an Error.
enum class ErrorKind {
  usage,       ///< the caller asked for something that does not exist
  not_found,   ///< no such file, or a directory without anything to read
  unreadable,  ///< exists but cannot be read: permission, a device, too large, changed while read
  syntax,      ///< the bytes are not what the format requires
  schema,      ///< well formed, but a value has the wrong type or an impossible size
  unsupported, ///< understood, but of a kind that this program does not judge
  write,       ///< an output could not be written
  internal,    ///< a bug in this program
};

/// Name of the kind as printed in JSON, for example "schema".
[[nodiscard]] std::string_view to_string(ErrorKind kind);

/// A place in a text file, both counted from 1; line 0 means unknown. Columns count Unicode
/// characters (code points), not bytes.
struct Position {
  std::size_t line = 0;
  std::size_t column = 0;
};

/// One failure: what went wrong, and where as far as it is known.
struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message; ///< one line, without the place
  std::string path;    ///< file or directory; empty when there is none
  std::string pointer; ///< JSON pointer, metadata key or tensor name inside it
  Position position;
};

/// "path:line:column: message" on one line, with control characters escaped.
[[nodiscard]] std::string to_string(const Error& error);

} // namespace mla_scale
