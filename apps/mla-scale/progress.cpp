#include "progress.hpp"

#include "terminal.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace mla_scale::cli {
namespace {

constexpr std::chrono::milliseconds k_before_first{1000};
constexpr std::chrono::milliseconds k_between{100};
constexpr std::size_t k_bar = 24;

/// Four digits at most and a metric prefix: 950, 1.2k, 35M.
std::string short_number(double number) {
  constexpr double k_step = 1000.0;
  std::size_t prefix = 0;
  constexpr std::string_view k_prefixes = " kMGTPE";
  while (number >= k_step && prefix + 1 < k_prefixes.size()) {
    number /= k_step;
    ++prefix;
  }
  const std::string digits =
      prefix > 0 && number < 10.0 ? fmt::format("{:.1f}", number) : fmt::format("{:.0f}", number);
  return prefix == 0 ? digits : digits + k_prefixes[prefix];
}

} // namespace

Progress::Progress(std::string_view unit)
    : m_unit(unit), m_enabled(stderr_is_terminal()), m_start(Clock::now()), m_last(m_start) {}

void Progress::finish() {
  const std::lock_guard lock(m_guard);
  if (m_shown) {
    std::fputs("\r\x1B[K", stderr);
  }
  m_shown = false;
}

void Progress::update(std::size_t done, std::size_t total) {
  if (!m_enabled || done == 0 || total == 0) {
    return;
  }
  const std::lock_guard lock(m_guard);
  const Clock::time_point now = Clock::now();
  if (done < m_done / 2) {
    m_start = m_last;
  }
  m_done = done;
  if (!m_shown && now - m_start < k_before_first) {
    return;
  }
  if (now - m_last < k_between) {
    return;
  }
  m_last = now;
  m_shown = true;
  const double seconds = std::chrono::duration<double>(now - m_start).count();
  const double rate = static_cast<double>(done) / seconds;
  const double left = static_cast<double>(total - done) / rate;
  const std::size_t filled = k_bar * done / total;
  const std::string line =
      fmt::format("\r[{:#>{}}{:>{}}] {}/{} {}  {}/s  {:.0f} s left\x1B[K", "", filled, "",
                  k_bar - filled, short_number(static_cast<double>(done)),
                  short_number(static_cast<double>(total)), m_unit, short_number(rate), left);
  std::fputs(line.c_str(), stderr);
}

} // namespace mla_scale::cli
