#pragma once

#include <cstdio>
#include <cstdlib>

/// Aborts, as the fuzzer wants it, when what a reader promised does not hold.
inline void promise(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
  }
}
