#include "naive_eigen.inc"

extern "C" {
#if defined(__x86_64__)
void mla_scale_naive_f64_x86_64_v4(const NaiveHead<double>& head);
void mla_scale_naive_f32_x86_64_v4(const NaiveHead<float>& head);
#endif
}

void naive_eigen(const NaiveHead<double>& head, [[maybe_unused]] bool avx512) {
#if defined(__x86_64__)
  if (avx512) {
    return mla_scale_naive_f64_x86_64_v4(head);
  }
#endif
  naive(head);
}

void naive_eigen(const NaiveHead<float>& head, [[maybe_unused]] bool avx512) {
#if defined(__x86_64__)
  if (avx512) {
    return mla_scale_naive_f32_x86_64_v4(head);
  }
#endif
  naive(head);
}
