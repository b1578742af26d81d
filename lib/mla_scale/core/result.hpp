#pragma once

#include <mla_scale/core/error.hpp>

#include <type_traits>
#include <utility>
#include <variant>

namespace mla_scale {

/// A value or the Error that prevented it; the member names are those of std::expected (C++23).
template <typename T>
class [[nodiscard]] Result {
public:
  using value_type = T;

  Result(T value) : m_state(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : m_state(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool has_value() const { return m_state.index() == 0; }
  explicit operator bool() const { return has_value(); }

  /// \pre has_value()
  [[nodiscard]] T& value() & { return *std::get_if<0>(&m_state); }
  [[nodiscard]] const T& value() const& { return *std::get_if<0>(&m_state); }
  [[nodiscard]] T&& value() && { return std::move(*std::get_if<0>(&m_state)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// \pre !has_value()
  [[nodiscard]] Error& error() { return *std::get_if<1>(&m_state); }
  [[nodiscard]] const Error& error() const { return *std::get_if<1>(&m_state); }

  template <typename U>
  [[nodiscard]] T value_or(U&& fallback) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(fallback));
  }

private:
  std::variant<T, Error> m_state;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
  using value_type = void;

  Result() = default;
  Result(Error error) : m_error(std::move(error)), m_failed(true) {}

  [[nodiscard]] bool has_value() const { return !m_failed; }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] const Error& error() const { return m_error; }

private:
  Error m_error;
  bool m_failed = false;
};

} // namespace mla_scale
