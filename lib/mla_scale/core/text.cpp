#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace mla_scale {
namespace {

/// Length of the valid UTF-8 sequence at `at`, or 0; `code_point` receives its value.
std::size_t utf8_sequence(std::string_view text, std::size_t at, std::uint32_t& code_point) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) {
    code_point = lead;
    return 1;
  }
  const std::size_t length = lead >= 0xF0 && lead < 0xF5 ? 4
                             : lead >= 0xE0              ? 3
                             : lead >= 0xC2              ? 2
                                                         : 0;
  if (length == 0 || lead >= 0xF5 || at + length > text.size()) {
    return 0;
  }
  code_point = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) {
      return 0;
    }
    code_point = (code_point << 6) | (byte(at + i) & 0x3FU);
  }
  const bool overlong =
      (length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000);
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  return overlong || surrogate || code_point > 0x10FFFF ? 0 : length;
}

/// Longer words are not slips of a known name, and comparing them costs.
constexpr std::size_t k_longest_slip = 100;

bool drives_a_terminal(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F
         || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

} // namespace

std::string escape_control(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; })) {
    return std::string(text); // nearly every text
  }
  std::string escaped;
  escaped.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t code_point = 0;
    const std::size_t length = utf8_sequence(text, i, code_point);
    if (length == 0) {
      escaped += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
      ++i;
      continue;
    }
    if (!drives_a_terminal(code_point)) {
      escaped += text.substr(i, length);
    } else if (code_point < 0x80) {
      escaped += fmt::format("\\x{:02x}", code_point);
    } else {
      escaped += fmt::format("\\u{{{:04x}}}", code_point);
    }
    i += length;
  }
  return escaped;
}

std::string format_number(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  if (std::isinf(value)) {
    return value < 0 ? "-inf" : "inf";
  }
  return fmt::format("{}", value);
}

namespace {

/// One bit for each letter that occurs; some share one.
std::uint64_t letters_of(std::string_view text) {
  std::uint64_t letters = 0;
  for (const char c : text) {
    letters |= std::uint64_t{1} << (static_cast<unsigned char>(c) % 64U);
  }
  return letters;
}

} // namespace

std::size_t edit_distance(std::string_view left, std::string_view right, std::size_t limit) {
  // An edit takes away one letter at most and brings one at most.
  const auto differing =
      static_cast<std::size_t>(std::popcount(letters_of(left) ^ letters_of(right)));
  if ((differing + 1) / 2 > limit) {
    return (differing + 1) / 2;
  }
  std::vector<std::size_t> before(right.size() + 1);
  std::vector<std::size_t> previous(right.size() + 1);
  std::vector<std::size_t> current(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) {
    previous[j] = j;
  }
  for (std::size_t i = 1; i <= left.size(); ++i) {
    current[0] = i;
    std::size_t nearest = std::min(i, previous[0]);
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t substitution = previous[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, substitution});
      const bool swapped =
          i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
      if (swapped) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
      nearest = std::min({nearest, current[j], previous[j]});
    }
    if (nearest > limit) {
      return nearest; // later rows build on these two and only grow
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[right.size()];
}

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return result;
}

} // namespace

std::string clip(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) {
    return std::string(text);
  }
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) {
    --limit; // not in the middle of a UTF-8 sequence
  }
  return std::string(text.substr(0, limit)) + "...";
}

std::string_view closest_match(std::string_view text,
                               std::span<const std::string_view> candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, text.size() / 3) + 1;
  if (text.empty() || text.size() > k_longest_slip) {
    return best;
  }
  const std::string wanted = lower(text);
  std::ptrdiff_t best_beginning = 0;
  for (const std::string_view candidate : candidates) {
    const std::string name = lower(candidate);
    const std::size_t distance = edit_distance(wanted, name, best_distance);
    // Of names equally near, the one that begins alike: slips are rare in first letters.
    const std::ptrdiff_t beginning =
        std::mismatch(wanted.begin(), wanted.end(), name.begin(), name.end()).first
        - wanted.begin();
    if (distance < best_distance
        || (!best.empty() && distance == best_distance && beginning > best_beginning)) {
      best_distance = distance;
      best_beginning = beginning;
      best = candidate;
    }
  }
  return best;
}

std::string_view likely_name(std::string_view text, std::span<const std::string_view> candidates) {
  const std::string wanted = lower(text);
  const auto found = std::find_if(candidates.begin(), candidates.end(), [&](auto candidate) {
    return !wanted.empty() && lower(candidate).starts_with(wanted);
  });
  return found != candidates.end() ? *found : closest_match(text, candidates);
}

} // namespace mla_scale
