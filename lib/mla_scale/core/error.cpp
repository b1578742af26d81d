#include <mla_scale/core/error.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

namespace mla_scale {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::usage:
    return "usage";
  case ErrorKind::not_found:
    return "not_found";
  case ErrorKind::unreadable:
    return "unreadable";
  case ErrorKind::syntax:
    return "syntax";
  case ErrorKind::schema:
    return "schema";
  case ErrorKind::unsupported:
    return "unsupported";
  case ErrorKind::write:
    return "write";
  case ErrorKind::internal:
    return "internal";
  }
  return "internal";
}

namespace {

/// A hostile name inside a message must not fill a screen.
constexpr std::size_t k_longest_message = 600;
constexpr std::size_t k_longest_name = 100;

/// True when `message` holds `name` as a word: "o" is not in "its shape holds no heads".
bool names(std::string_view message, std::string_view name) {
  const auto is_word = [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  for (std::size_t at = message.find(name); at != std::string_view::npos;
       at = message.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || !is_word(message[at - 1]))
        && (end == message.size() || !is_word(message[end]))) {
      return true;
    }
  }
  return false;
}

} // namespace

std::string to_string(const Error& error) {
  std::string text;
  if (!error.path.empty()) {
    text = escape_control(error.path);
    if (error.position.line != 0) {
      text += fmt::format(":{}:{}", error.position.line, error.position.column);
    }
    text += ": ";
  }
  // Without a line, the tensor's or key's name is the place; most messages that need it do not
  // repeat it.
  if (error.position.line == 0 && !error.pointer.empty() && !names(error.message, error.pointer)) {
    text += escape_control(clip(error.pointer, k_longest_name)) + ": ";
  }
  return text + escape_control(clip(error.message, k_longest_message));
}

} // namespace mla_scale
