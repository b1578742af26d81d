#include "progress.hpp"

#include "terminal.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace mla_scale::cli {
namespace {

constexpr std::chrono::milliseconds k_before_first{1000};
constexpr std::chrono::milliseconds k_between{100};
constexpr std::size_t k_bar = 24;

} // namespace

Progress::Progress() : m_enabled(stderr_is_terminal()), m_start(Clock::now()), m_last(m_start) {}

Progress::~Progress() {
  if (m_shown) {
    std::fputs("\r\x1B[K", stderr);
  }
}

void Progress::update(std::size_t done, std::size_t total) {
  if (!m_enabled || done == 0 || total == 0) {
    return;
  }
  const std::lock_guard lock(m_guard);
  const Clock::time_point now = Clock::now();
  if (now - m_start < k_before_first || now - m_last < k_between) {
    return;
  }
  m_last = now;
  m_shown = true;
  const double seconds = std::chrono::duration<double>(now - m_start).count();
  const double rate = static_cast<double>(done) / seconds;
  const double left = static_cast<double>(total - done) / rate;
  const std::size_t filled = k_bar * done / total;
  const std::string line = fmt::format("\r[{:#>{}}{:>{}}] {}/{}  {:.0f}/s  {:.0f} s left\x1B[K", "",
                                       filled, "", k_bar - filled, done, total, rate, left);
  std::fputs(line.c_str(), stderr);
}

} // namespace mla_scale::cli
