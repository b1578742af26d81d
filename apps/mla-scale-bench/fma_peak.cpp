#include "fma_peak.hpp"

#include <string_view>

extern "C" {
extern const FmaPeak fma_peak_generic;
#if defined(__x86_64__)
extern const FmaPeak fma_peak_x86_64_v2;
extern const FmaPeak fma_peak_x86_64_v3;
extern const FmaPeak fma_peak_x86_64_v4;
#endif
}

const FmaPeak& fma_peak_of([[maybe_unused]] const char* kernel) {
#if defined(__x86_64__)
  const std::string_view name = kernel;
  if (name == "x86-64-v4") {
    return fma_peak_x86_64_v4;
  }
  if (name == "x86-64-v3") {
    return fma_peak_x86_64_v3;
  }
  if (name == "x86-64-v2") {
    return fma_peak_x86_64_v2;
  }
#endif
  return fma_peak_generic;
}
