// Included by one fma_peak_*.cpp for each instruction set, which defines MLA_SCALE_PEAK_TABLE.

#include "fma_peak.hpp"

namespace {

#if defined(__AVX512F__)
constexpr int k_vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int k_vector_bytes = 32;
#else
constexpr int k_vector_bytes = 16;
#endif
// Enough independent sums to hide the latency of two multiply-adds a cycle, few enough for 16
// registers.
constexpr int k_sums = 12;

template <typename Real, typename Vector>
double run(std::int64_t iterations) {
  Vector sums[k_sums] = {};
  // Not known to the compiler, and neither growing nor subnormal.
  Real factor = static_cast<Real>(0.5);
  Real term = static_cast<Real>(1.0);
  asm volatile("" : "+m"(factor), "+m"(term));
  const Vector factors = factor - Vector{};
  const Vector terms = term - Vector{};
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int s = 0; s < k_sums; ++s) {
      sums[s] = sums[s] * factors + terms;
    }
  }
  Vector total = {};
  for (const Vector& sum : sums) {
    total += sum;
  }
  volatile Real keep = total[0];
  static_cast<void>(keep);
  return static_cast<double>(iterations) * k_sums * 2
         * (k_vector_bytes / static_cast<int>(sizeof(Real)));
}

typedef double Doubles __attribute__((vector_size(k_vector_bytes)));
typedef float Floats __attribute__((vector_size(k_vector_bytes)));

} // namespace

extern "C" {
extern const FmaPeak MLA_SCALE_PEAK_TABLE;
const FmaPeak MLA_SCALE_PEAK_TABLE = {run<double, Doubles>, run<float, Floats>};
}
