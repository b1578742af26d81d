#pragma once

#include <string>
#include <string_view>

namespace mla_scale::report {

/// Where text goes: how wide a line may be, and whether escape sequences for colour are understood.
struct TerminalStyle {
  int width = 80;
  bool color = false;

  [[nodiscard]] std::string bold(std::string_view text) const { return paint("1", text); }
  [[nodiscard]] std::string dim(std::string_view text) const { return paint("2", text); }
  [[nodiscard]] std::string good(std::string_view text) const { return paint("32", text); }
  [[nodiscard]] std::string warn(std::string_view text) const { return paint("33", text); }
  [[nodiscard]] std::string bad(std::string_view text) const { return paint("31;1", text); }

private:
  [[nodiscard]] std::string paint(std::string_view code, std::string_view text) const {
    return color ? "\x1B[" + std::string(code) + "m" + std::string(text) + "\x1B[0m"
                 : std::string(text);
  }
};

/// `head`, then `text` wrapped behind it: further lines start below the first letter of `text`.
/// Where that leaves no room, `text` starts below `head` instead. Ends with a newline. `head` may
/// hold colour; `head_columns` is the room it takes on screen.
[[nodiscard]] std::string hanging(std::string_view head, int head_columns, std::string_view text,
                                  int width);

/// Labels of a block of lines stand in so many columns.
inline constexpr int k_label_columns = 10;

/// One line of a block: its label, then `text`, wrapped behind it.
[[nodiscard]] std::string labelled(std::string_view label, std::string_view text,
                                   const TerminalStyle& style);

/// Number of columns that UTF-8 text takes, one for each code point.
[[nodiscard]] int columns(std::string_view text);

} // namespace mla_scale::report
