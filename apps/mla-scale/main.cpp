#include "cli.hpp"
#include "exit_code.hpp"

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  try {
    return mla_scale::cli::run(argc, argv);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "mla-scale: bug: %s\n", exception.what());
  } catch (...) {
    std::fputs("mla-scale: bug: unknown exception\n", stderr);
  }
  return static_cast<int>(mla_scale::cli::ExitCode::bug);
}
