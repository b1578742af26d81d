#include "config_reader.hpp"

#include <fmt/format.h>

namespace mla_scale::model {
namespace {

constexpr std::int64_t k_largest_size = 2147483647;
constexpr std::int64_t k_widest =
    1000000; // vocabularies apart, no side of a published weight comes near

} // namespace

Origin origin_of(const json::Value& value, const std::string& file) {
  return Origin{value.is_null() ? Origin::Kind::null : Origin::Kind::read,
                file,
                value.pointer(),
                value.position(),
                {}};
}

void ConfigReader::fail(Error error) {
  if (!m_error) {
    m_error = std::move(error);
  }
}

void ConfigReader::adopt_error(const ConfigReader& other) {
  if (other.m_error) {
    fail(*other.m_error);
  }
}

template <typename T, typename Convert>
Sourced<T> ConfigReader::read(Keys keys, Convert convert) {
  for (const std::string_view key : keys) {
    const std::optional<json::Value> member = m_object.find(key);
    if (!member) {
      continue;
    }
    Sourced<T> result;
    result.origin = origin_of(*member, member->path());
    if (!member->is_null()) {
      Result<T> converted = convert(*member);
      if (converted) {
        result.value = std::move(*converted);
      } else {
        fail(converted.error());
      }
    }
    return result;
  }
  return {};
}

Sourced<std::int64_t> ConfigReader::size(Keys keys, bool zero_allowed) {
  return size_up_to(k_largest_size, keys, zero_allowed);
}

Sourced<std::int64_t> ConfigReader::width(Keys keys, bool zero_allowed) {
  return size_up_to(k_widest, keys, zero_allowed);
}

Sourced<std::int64_t> ConfigReader::size_up_to(std::int64_t largest, Keys keys, bool zero_allowed) {
  return read<std::int64_t>(
      keys, [largest, zero_allowed](const json::Value& value) -> Result<std::int64_t> {
        const Result<std::int64_t> number = value.as_integer();
        if (!number) {
          return number.error();
        }
        if (*number < (zero_allowed ? 0 : 1)) {
          return value.error(fmt::format("{} must be {}, but {} stands there", value.key(),
                                         zero_allowed ? "0 or more" : "at least 1", *number));
        }
        if (*number > largest) {
          return value.error(fmt::format("{} is {}, which no model has", value.key(), *number));
        }
        return *number;
      });
}

Sourced<double> ConfigReader::number(Keys keys) {
  return read<double>(keys, [](const json::Value& value) { return value.as_number(); });
}

Sourced<double> ConfigReader::positive(Keys keys) {
  return read<double>(keys, [](const json::Value& value) -> Result<double> {
    Result<double> number = value.as_number();
    if (number && !(*number > 0)) {
      return value.error(
          fmt::format("{} must be above 0, but {} stands there", value.key(), value.excerpt()));
    }
    return number;
  });
}

Sourced<bool> ConfigReader::flag(Keys keys) {
  return read<bool>(keys, [](const json::Value& value) -> Result<bool> {
    if (const Result<std::int64_t> number = value.as_integer();
        number && (*number == 0 || *number == 1)) {
      return *number == 1; // use_mla: 1 is published so
    }
    return value.as_boolean();
  });
}

Sourced<std::string> ConfigReader::text(Keys keys) {
  return read<std::string>(keys, [](const json::Value& value) -> Result<std::string> {
    const Result<std::string_view> string = value.as_string();
    if (!string) {
      return string.error();
    }
    return std::string(*string);
  });
}

std::optional<json::Value> ConfigReader::object(std::string_view key) {
  const std::optional<json::Value> member = m_object.find(key);
  if (!member || member->is_null()) {
    return std::nullopt;
  }
  if (!member->is_object()) {
    fail(member->error(
        fmt::format("{} must be an object or null, but {} stands there", key, member->excerpt())));
    return std::nullopt;
  }
  return member;
}

} // namespace mla_scale::model
