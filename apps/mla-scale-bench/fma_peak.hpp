#pragma once

#include <cstdint>

/// Loops of independent multiply-adds in registers: what the arithmetic of one instruction set can
/// do at best. Each returns the floating-point operations it did.
struct FmaPeak {
  double (*f64)(std::int64_t iterations);
  double (*f32)(std::int64_t iterations);
};

/// The loops for the instruction set of the kernel called `kernel`.
const FmaPeak& fma_peak_of(const char* kernel);
