#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::json {

/// Writes indented JSON as it is told, in the order it is told.
///
/// Numbers are the shortest decimals that read back to the same double; NaN and infinities, which
/// JSON lacks, become null. Bytes that are not UTF-8 and control characters are escaped.
class Writer {
public:
  Writer& begin_object();
  Writer& end_object();
  Writer& begin_array();
  Writer& end_array();
  /// Name of the next member; only inside an object.
  Writer& key(std::string_view name);

  Writer& value(std::string_view text);
  Writer& value(const char* text) { return value(std::string_view(text)); }
  Writer& value(const std::string& text) { return value(std::string_view(text)); }
  Writer& value(double number);
  Writer& value(std::int64_t number);
  Writer& value(std::uint64_t number);
  Writer& value(int number) { return value(static_cast<std::int64_t>(number)); }
  Writer& value(bool truth);
  Writer& null();

  /// null when there is no value.
  template <typename T>
  Writer& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : null();
  }

  /// key() and value() in one.
  template <typename T>
  Writer& member(std::string_view name, const T& what) {
    return key(name).value(what);
  }

  /// A writer for one element of the array that is open here, to be appended later; several may be
  /// at work at the same time.
  [[nodiscard]] Writer for_element() const;
  Writer& append(const Writer& element);

  /// The text so far, with a newline at the end.
  [[nodiscard]] std::string finish() const { return m_text + "\n"; }

private:
  void separate();
  void open(char bracket);
  void close(char bracket);

  std::string m_text;
  std::vector<bool> m_has_members; // one for each open bracket
  bool m_after_key = false;
};

} // namespace mla_scale::json
