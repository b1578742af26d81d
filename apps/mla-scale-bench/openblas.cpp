#include "naive_attention.hpp"

#include <algorithm>
#include <cmath>

#include <dlfcn.h>

namespace {

// From cblas.h, so that the bench needs no OpenBLAS to be built.
constexpr int k_row_major = 101;
constexpr int k_no_transpose = 111;
constexpr int k_transpose = 112;
using Dgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k,
                       double alpha, const double* a, int lda, const double* b, int ldb,
                       double beta, double* c, int ldc);
Dgemm g_dgemm = nullptr;

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b,
          bool b_transposed, double* c) {
  const auto narrow = [](std::int64_t x) { return static_cast<int>(x); };
  g_dgemm(k_row_major, k_no_transpose, b_transposed ? k_transpose : k_no_transpose, narrow(m),
          narrow(n), narrow(k), 1.0, a, narrow(k), b, narrow(b_transposed ? k : n), 0.0, c,
          narrow(n));
}

} // namespace

Gemm<double> find_openblas() {
  for (const char* name : {"libopenblas.so.0", "libopenblas.so"}) {
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL); library != nullptr) {
      g_dgemm = reinterpret_cast<Dgemm>(::dlsym(library, "cblas_dgemm"));
      // The bench runs one head a thread.
      using SetThreads = void (*)(int);
      if (const auto set =
              reinterpret_cast<SetThreads>(::dlsym(library, "openblas_set_num_threads"))) {
        set(1);
      }
      return g_dgemm == nullptr ? nullptr : gemm;
    }
  }
  return nullptr;
}

template <typename Real>
void naive_with_gemm(const NaiveHead<Real>& head, Gemm<Real> product) {
  product(head.length, head.length, head.key_width, head.query, head.key, true, head.logits);
  for (std::int64_t i = 0; i < head.length; ++i) {
    Real* const row = head.logits + i * head.length;
    const Real maximum = *std::max_element(row, row + i + 1);
    Real sum = 0;
    for (std::int64_t j = 0; j <= i; ++j) {
      row[j] = std::exp((row[j] - maximum) * head.scale);
      sum += row[j];
    }
    for (std::int64_t j = 0; j < head.length; ++j) {
      row[j] = j <= i ? row[j] / sum : Real{0};
    }
  }
  product(head.length, head.value_width, head.length, head.logits, head.value, false, head.out);
}

template void naive_with_gemm(const NaiveHead<double>& head, Gemm<double> product);
