// The start and end of the real program around a run that has a bug.

#include "process.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace {

int overflow(volatile int* below) {
  volatile int here[1024] = {};
  here[0] = below == nullptr ? 1 : *below;
  return overflow(here) + here[0];
}

void throw_where_none_may() noexcept {
  throw std::runtime_error("thrown where nothing may be");
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
    int* volatile nowhere = nullptr;
    *nowhere = 1;
  }
  if (how == "overflow") {
    return overflow(nullptr);
  }
  if (how == "terminate") {
    throw_where_none_may();
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  mla_scale::cli::prepare_process();
  return mla_scale::cli::guarded(run, argc, argv);
}
