#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/kernel.hpp>

#include <span>
#include <string_view>

namespace mla_scale::reference {

/// A kernel in this program, and whether this machine has the instructions it needs.
struct KernelChoice {
  const Kernel* kernel = nullptr;
  bool runs_here = false;
};

/// The functions of a kernel for double or float.
template <typename Real>
[[nodiscard]] const PanelFunctions<Real>& functions_of(const Kernel& kernel) {
  if constexpr (sizeof(Real) == sizeof(double)) {
    return kernel.f64;
  } else {
    return kernel.f32;
  }
}

/// Every kernel in this program, slowest first: "eigen", the plain one that the others are tested
/// against, then "generic" and those of the processor family.
[[nodiscard]] std::span<const KernelChoice> kernels();

/// The kernel called `name`; for an empty name the fastest that runs here.
/// Errors: usage when there is none of that name, or this machine cannot run it.
[[nodiscard]] Result<const Kernel*> find_kernel(std::string_view name);

/// The kernel that the environment variable MLA_SCALE_KERNEL names, else the fastest that runs
/// here. Errors: those of find_kernel().
[[nodiscard]] Result<const Kernel*> chosen_kernel();

} // namespace mla_scale::reference
