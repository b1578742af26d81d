#include "cli.hpp"
#include "process.hpp"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

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
  mla_scale::cli::prepare_process();
  take_memory_in_large_steps();
  return mla_scale::cli::guarded(mla_scale::cli::run, argc, argv);
}
