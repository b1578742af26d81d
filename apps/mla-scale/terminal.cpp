#include "terminal.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>

#include <sys/ioctl.h>
#include <unistd.h>

namespace mla_scale::cli {
namespace {

constexpr int k_default_width = 80;
constexpr int k_narrowest = 40;
constexpr int k_widest = 500;

int terminal_width() {
  if (const char* columns = std::getenv("COLUMNS"); columns != nullptr) {
    const int width = std::atoi(columns);
    if (width > 0) {
      return std::clamp(width, k_narrowest, k_widest);
    }
  }
  winsize size = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return std::clamp(static_cast<int>(size.ws_col), k_narrowest, k_widest);
  }
  return k_default_width;
}

bool color_wanted(std::string_view color) {
  if (color != "auto") {
    return color == "always";
  }
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term != nullptr && std::string_view(term) == "dumb";
  return ::isatty(STDOUT_FILENO) == 1 && !dumb && (no_color == nullptr || *no_color == '\0');
}

} // namespace

TerminalStyle stdout_style(std::string_view color) {
  return {terminal_width(), color_wanted(color)};
}

bool stderr_is_terminal() {
  return ::isatty(STDERR_FILENO) == 1;
}

} // namespace mla_scale::cli
