#include "cli.hpp"
#include "exit_code.hpp"

#include <mla_scale/core/temporary_name.hpp>

#include <csignal>
#include <cstdio>
#include <exception>

#include <unistd.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

/// Captures are mapped: a file that another process cuts short while it is read arrives as this
/// signal.
void on_bus_error(int /*signal*/) {
  constexpr char k_message[] = "mla-scale: an input became shorter while it was read\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, k_message, sizeof k_message - 1);
  mla_scale::remove_temporary_files();
  ::_exit(static_cast<int>(mla_scale::cli::ExitCode::input));
}

/// Ctrl-C ends the program at once, as a shell reports it, and leaves no half-written file.
void on_interrupt(int signal) {
  constexpr int k_signal_base = 128;
  mla_scale::remove_temporary_files();
  if (::isatty(STDERR_FILENO) == 1) {
    constexpr char k_erase_progress[] = "\r\x1B[K";
    [[maybe_unused]] const ssize_t written =
        ::write(STDERR_FILENO, k_erase_progress, sizeof k_erase_progress - 1);
  }
  ::_exit(k_signal_base + signal);
}

/// Takes memory in large steps and keeps what is freed: asking the system costs more than many a
/// computation in that memory.
void take_memory_in_large_steps() {
#if defined(__GLIBC__)
  constexpr int k_kept = 1 << 30;
  constexpr int k_step = 1 << 24;
  ::mallopt(M_MMAP_THRESHOLD, k_kept);
  ::mallopt(M_TRIM_THRESHOLD, k_kept);
  ::mallopt(M_TOP_PAD, k_step);
#endif
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGBUS, on_bus_error);
  for (const int signal : {SIGINT, SIGTERM}) {
    // A shell starts jobs in the background with the signal ignored; that stays so.
    if (std::signal(signal, on_interrupt) == SIG_IGN) {
      std::signal(signal, SIG_IGN);
    }
  }
  take_memory_in_large_steps();
  try {
    return mla_scale::cli::run(argc, argv);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "mla-scale: bug: %s\n", exception.what());
  } catch (...) {
    std::fputs("mla-scale: bug: unknown exception\n", stderr);
  }
  return static_cast<int>(mla_scale::cli::ExitCode::bug);
}
