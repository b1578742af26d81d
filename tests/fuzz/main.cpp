// One fuzzer for all readers: `mla_scale_fuzz TARGET [libFuzzer's arguments]`.

#include "targets.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// libFuzzer starts itself anew for merging and minimising, without the argument taken here.
constexpr const char* k_variable = "MLA_SCALE_FUZZ_TARGET";
const FuzzTarget* g_target = nullptr;

const FuzzTarget* find_target(const char* name) {
  for (const FuzzTarget& target : k_fuzz_targets) {
    if (name != nullptr && std::strcmp(target.name, name) == 0) {
      return &target;
    }
  }
  return nullptr;
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc > 1 && find_target((*argv)[1]) != nullptr) {
    ::setenv(k_variable, (*argv)[1], 1);
    (*argv)[1] = (*argv)[0];
    ++*argv;
    --*argc;
  }
  g_target = find_target(std::getenv(k_variable));
  if (g_target == nullptr) {
    std::fputs("usage: mla_scale_fuzz TARGET [libFuzzer's arguments]; TARGET is one of", stderr);
    for (const FuzzTarget& target : k_fuzz_targets) {
      std::fprintf(stderr, " %s", target.name);
    }
    std::fputs("\n", stderr);
    std::exit(2);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  g_target->run({data, size});
  return 0;
}
