#include "process.hpp"

#include "exit_code.hpp"

#include <mla_scale/core/temporary_name.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include <fcntl.h>
#include <unistd.h>

namespace mla_scale::cli {
namespace {

/// Ends the program from a signal handler: only calls what one may call.
[[noreturn]] void end_with(const char* message, ExitCode code) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message, std::strlen(message));
  remove_temporary_files();
  ::_exit(static_cast<int>(code));
}

/// Captures are mapped: a file that another process cuts short while it is read arrives as this
/// signal.
void on_bus_error(int /*signal*/) {
  end_with("mla-scale: an input became shorter while it was read\n", ExitCode::input);
}

void on_crash(int signal) {
  end_with(signal == SIGABRT ? "mla-scale: bug: aborted; please report the command line\n"
                             : "mla-scale: bug: crashed; please report the command line\n",
           ExitCode::bug);
}

/// Ctrl-C ends the program at once, as a shell reports it, and leaves no half-written file.
void on_interrupt(int signal) {
  constexpr int k_signal_base = 128;
  remove_temporary_files();
  if (::isatty(STDERR_FILENO) == 1) {
    constexpr char k_erase_progress[] = "\r\x1B[K";
    [[maybe_unused]] const ssize_t written =
        ::write(STDERR_FILENO, k_erase_progress, sizeof k_erase_progress - 1);
  }
  ::_exit(k_signal_base + signal);
}

/// Takes a signal unless somebody has: a shell that starts jobs in the background ignores
/// interrupts, a sanitizer wants the crashes.
void take_signal(int signal, void (*handler)(int)) {
  struct sigaction before = {};
  if (::sigaction(signal, nullptr, &before) != 0 || before.sa_handler != SIG_DFL) {
    return;
  }
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK; // a stack that ran over cannot hold its handler
  ::sigaction(signal, &action, nullptr);
}

/// A descriptor that is closed would be given to the next file that is opened, and a message for
/// standard error would end in a capture. What stands in for it fails as a closed one does.
void keep_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) < 0) {
      const int flags = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;
      [[maybe_unused]] const int opened = ::open("/dev/null", flags);
    }
  }
}

} // namespace

void prepare_process() {
  keep_standard_descriptors();
  static char alternate_stack[1 << 16];
  stack_t stack = {};
  stack.ss_sp = alternate_stack;
  stack.ss_size = sizeof alternate_stack;
  ::sigaltstack(&stack, nullptr);
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    std::signal(signal, SIG_IGN);
  }
  std::signal(SIGBUS, on_bus_error);
  for (const int signal : {SIGINT, SIGTERM}) {
    take_signal(signal, on_interrupt);
  }
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL}) {
    take_signal(signal, on_crash);
  }
}

int guarded(int (*run)(int argc, char** argv), int argc, char** argv) {
  try {
    const int code = run(argc, argv);
    // Whatever wrote there and did not look: help, the version.
    errno = 0;
    const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
    if (failed && code == static_cast<int>(ExitCode::fine) && errno != EPIPE) {
      std::fprintf(stderr, "mla-scale: standard output cannot be written%s%s\n",
                   errno == 0 ? "" : ": ", errno == 0 ? "" : std::strerror(errno));
      return static_cast<int>(ExitCode::input);
    }
    return code;
  } catch (const std::bad_alloc&) {
    std::fputs("mla-scale: not enough memory for this input\n", stderr);
    return static_cast<int>(ExitCode::input);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "mla-scale: bug: %s\n", exception.what());
  } catch (...) {
    std::fputs("mla-scale: bug: unknown exception\n", stderr);
  }
  return static_cast<int>(ExitCode::bug);
}

} // namespace mla_scale::cli
