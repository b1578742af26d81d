#include <mla_scale/reference/kernel_choice.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <string>

extern "C" {
extern const mla_scale::reference::Kernel mla_scale_kernel_generic;
#if defined(__x86_64__)
extern const mla_scale::reference::Kernel mla_scale_kernel_x86_64_v2;
extern const mla_scale::reference::Kernel mla_scale_kernel_x86_64_v3;
extern const mla_scale::reference::Kernel mla_scale_kernel_x86_64_v4;
#endif
}

namespace mla_scale::reference {

extern const Kernel k_eigen_kernel;

std::span<const KernelChoice> kernels() {
#if defined(__x86_64__)
  // The levels of the x86-64 psABI, by the features that tell them apart: not every compiler knows
  // the levels by name here.
  static const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  static const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                         && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  static const bool v4 = v3 && __builtin_cpu_supports("avx512f")
                         && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd")
                         && __builtin_cpu_supports("avx512dq")
                         && __builtin_cpu_supports("avx512vl");
#endif
  static const KernelChoice choices[] = {
    {&k_eigen_kernel, true},
    {&mla_scale_kernel_generic, true},
#if defined(__x86_64__)
    {&mla_scale_kernel_x86_64_v2, v2},
    {&mla_scale_kernel_x86_64_v3, v3},
    {&mla_scale_kernel_x86_64_v4, v4},
#endif
  };
  return choices;
}

Result<const Kernel*> find_kernel(std::string_view name) {
  const Kernel* fastest = nullptr;
  std::string names;
  for (const KernelChoice& choice : kernels()) {
    if (choice.kernel->name == name) {
      if (choice.runs_here) {
        return choice.kernel;
      }
      return Error{ErrorKind::usage,
                   fmt::format("this machine cannot run the kernel {}", name),
                   "",
                   "MLA_SCALE_KERNEL",
                   {}};
    }
    if (choice.runs_here) {
      fastest = choice.kernel;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", choice.kernel->name);
    }
  }
  if (name.empty()) {
    return fastest;
  }
  return Error{ErrorKind::usage,
               fmt::format("there is no kernel '{}'; this machine runs {}", name, names),
               "",
               "MLA_SCALE_KERNEL",
               {}};
}

Result<const Kernel*> chosen_kernel() {
  const char* name = std::getenv("MLA_SCALE_KERNEL");
  return find_kernel(name == nullptr ? "" : name);
}

} // namespace mla_scale::reference
