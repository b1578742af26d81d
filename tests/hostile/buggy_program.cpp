// The start and end of the real program around a run that has a bug.

#include "process.hpp"

#include <csignal>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string_view>

namespace {

/// Ends only for a depth that no stack holds.
long deeper(long depth, const volatile long* above) {
  volatile long here[1024] = {};
  here[0] = above == nullptr ? depth : *above;
  return depth == 0 ? here[0] : deeper(depth - 1, here) + here[0];
}

int run(int argc, char** argv) {
  const std::string_view how = argc > 1 ? argv[1] : "";
  if (how == "exception") {
    throw std::logic_error("an exception that nobody expected");
  }
  if (how == "unknown") {
    throw 1;
  }
  if (how == "abort") {
    std::abort();
  }
  if (how == "segmentation") {
    std::raise(SIGSEGV);
  }
  if (how == "overflow") {
    return static_cast<int>(deeper(1L << 40, nullptr));
  }
  if (how == "terminate") {
    std::terminate();
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  mla_scale::cli::prepare_process();
  return mla_scale::cli::guarded(run, argc, argv);
}
