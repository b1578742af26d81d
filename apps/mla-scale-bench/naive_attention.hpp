#pragma once

#include <cstdint>

/// One head of causal attention with the whole square of logits in memory, as most people would
/// write it. Arrays are row-major.
template <typename Real>
struct NaiveHead {
  std::int64_t length;
  std::int64_t key_width;
  std::int64_t value_width;
  Real scale;
  const Real* query;
  const Real* key;
  const Real* value;
  Real* logits; ///< [length, length], scratch
  Real* out;
};

/// Matrix product C[m, n] = A[m, k] · B, with B[n, k] transposed or B[k, n].
template <typename Real>
using Gemm = void (*)(std::int64_t m, std::int64_t n, std::int64_t k, const Real* a, const Real* b,
                      bool b_transposed, Real* c);

/// With Eigen, compiled for x86-64-v4 where `avx512`, else for the compiler's default.
void naive_eigen(const NaiveHead<double>& head, bool avx512);
void naive_eigen(const NaiveHead<float>& head, bool avx512);

/// The softmax in plain loops, the products by `gemm`.
template <typename Real>
void naive_with_gemm(const NaiveHead<Real>& head, Gemm<Real> gemm);

/// Products by the OpenBLAS that is installed, on the calling thread, or null when there is none.
Gemm<double> find_openblas();
