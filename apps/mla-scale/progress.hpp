#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>

namespace mla_scale::cli {

/// One line on standard error that says how far a long job is: share, rate, time left. Shown on a
/// terminal only, after the first second, and erased at the end.
class Progress {
public:
  Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// May be called from any thread.
  void update(std::size_t done, std::size_t total);

private:
  using Clock = std::chrono::steady_clock;

  bool m_enabled;
  bool m_shown = false;
  Clock::time_point m_start;
  Clock::time_point m_last;
  std::mutex m_guard;
};

} // namespace mla_scale::cli
