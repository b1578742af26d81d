#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/model/sourced.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace mla_scale::model {

/// Reads typed values from one JSON object and remembers the first thing that was wrong.
///
/// Each getter takes the spellings of a key, the first present one counting. A missing key gives an
/// absent value, null a null one; neither is an error here, since defaults may follow.
class ConfigReader {
public:
  using Keys = std::initializer_list<std::string_view>;

  explicit ConfigReader(json::Value object) : m_object(object) {}

  /// A size: integer in 1 .. 2^31 - 1, or 0 too when `zero_allowed`.
  [[nodiscard]] Sourced<std::int64_t> size(Keys keys, bool zero_allowed = false);
  /// A size that a tensor can have: as size(), but at most 1,000,000.
  [[nodiscard]] Sourced<std::int64_t> width(Keys keys, bool zero_allowed = false);
  /// A finite number.
  [[nodiscard]] Sourced<double> number(Keys keys);
  /// A finite number above 0.
  [[nodiscard]] Sourced<double> positive(Keys keys);
  /// true, false, 0 or 1.
  [[nodiscard]] Sourced<bool> flag(Keys keys);
  [[nodiscard]] Sourced<std::string> text(Keys keys);

  /// Member that is an object; null counts as absent. Error: schema when it is anything else.
  [[nodiscard]] std::optional<json::Value> object(std::string_view key);

  [[nodiscard]] json::Value value() const { return m_object; }
  [[nodiscard]] const std::optional<Error>& error() const { return m_error; }
  /// Keeps the first error of another reader of the same file.
  void adopt_error(const ConfigReader& other);

private:
  Sourced<std::int64_t> size_up_to(std::int64_t largest, Keys keys, bool zero_allowed);
  template <typename T, typename Convert>
  Sourced<T> read(Keys keys, Convert convert);
  void fail(Error error);

  json::Value m_object;
  std::optional<Error> m_error;
};

/// Origin of a value that was read.
[[nodiscard]] Origin origin_of(const json::Value& value, const std::string& file);

} // namespace mla_scale::model
