#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string_view>

namespace mla_scale::cli {

/// One line on standard error that says how far a long job is: share, rate, time left. Shown on a
/// terminal only, after the first second, and erased at the end.
class Progress {
public:
  /// `unit` is what is counted: "models".
  explicit Progress(std::string_view unit);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { finish(); }

  /// May be called from any thread. A count far behind the last one begins another stretch of work.
  void update(std::size_t done, std::size_t total);
  /// Erases the line, before anything else is printed.
  void finish();

private:
  using Clock = std::chrono::steady_clock;

  std::string_view m_unit;
  bool m_enabled;
  bool m_shown = false;
  std::size_t m_done = 0;
  Clock::time_point m_start;
  Clock::time_point m_last;
  std::mutex m_guard;
};

} // namespace mla_scale::cli
