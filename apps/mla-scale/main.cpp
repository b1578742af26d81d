#include "cli.hpp"
#include "exit_code.hpp"

#include <csignal>
#include <cstdio>
#include <exception>

#include <unistd.h>

namespace {

/// Captures are mapped: a file that another process cuts short while it is read arrives as this signal.
void on_bus_error(int /*signal*/) {
  constexpr char k_message[] = "mla-scale: an input became shorter while it was read\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, k_message, sizeof k_message - 1);
  ::_exit(static_cast<int>(mla_scale::cli::ExitCode::input));
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGBUS, on_bus_error);
  try {
    return mla_scale::cli::run(argc, argv);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "mla-scale: bug: %s\n", exception.what());
  } catch (...) {
    std::fputs("mla-scale: bug: unknown exception\n", stderr);
  }
  return static_cast<int>(mla_scale::cli::ExitCode::bug);
}
