#include "support/sha256.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace {

using Word = std::uint32_t;

bool is_prime(int n) {
  for (int d = 2; d * d <= n; ++d) {
    if (n % d == 0) {
      return false;
    }
  }
  return true;
}

/// The first 32 bits behind the point.
Word fraction(long double x) {
  return static_cast<Word>((x - std::floor(x)) * 4294967296.0L);
}

void mix(std::array<Word, 8>& state, std::string_view block) {
  std::array<Word, 64> round{};
  std::array<Word, 64> w{};
  for (int n = 2, found = 0; found < 64; ++n) {
    if (is_prime(n)) {
      round[static_cast<std::size_t>(found++)] = fraction(std::cbrt(static_cast<long double>(n)));
    }
  }
  for (std::size_t i = 0; i < 64; ++i) {
    if (i < 16) {
      for (std::size_t byte = 0; byte < 4; ++byte) {
        w[i] = (w[i] << 8U) | static_cast<unsigned char>(block[4 * i + byte]);
      }
      continue;
    }
    const Word a = w[i - 15];
    const Word b = w[i - 2];
    w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3U)) + w[i - 7]
           + (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10U));
  }
  std::array<Word, 8> s = state;
  for (std::size_t i = 0; i < 64; ++i) {
    const Word first = s[7] + (std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25))
                       + ((s[4] & s[5]) ^ (~s[4] & s[6])) + round[i] + w[i];
    const Word second = (std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22))
                        + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    s = {first + second, s[0], s[1], s[2], s[3] + first, s[4], s[5], s[6]};
  }
  for (std::size_t i = 0; i < 8; ++i) {
    state[i] += s[i];
  }
}

} // namespace

std::string sha256_base64(std::string_view text) {
  std::array<Word, 8> state{};
  for (int n = 2, found = 0; found < 8; ++n) {
    if (is_prime(n)) {
      state[static_cast<std::size_t>(found++)] = fraction(std::sqrt(static_cast<long double>(n)));
    }
  }
  std::string padded(text);
  padded += '\x80';
  padded.append((120 - padded.size() % 64) % 64, '\0');
  const std::uint64_t length = 8 * text.size();
  for (unsigned shift = 64; shift > 0; shift -= 8) {
    padded += static_cast<char>((length >> (shift - 8)) & 0xFFU);
  }
  for (std::size_t at = 0; at < padded.size(); at += 64) {
    mix(state, std::string_view(padded).substr(at, 64));
  }
  std::string bits;
  for (const Word word : state) {
    for (int bit = 31; bit >= 0; --bit) {
      bits += (word >> static_cast<unsigned>(bit)) & 1U ? '1' : '0';
    }
  }
  bits += "00"; // to a multiple of six
  constexpr std::string_view k_letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string encoded;
  for (std::size_t at = 0; at < bits.size(); at += 6) {
    encoded += k_letters[std::stoul(bits.substr(at, 6), nullptr, 2)];
  }
  return encoded + "=";
}
