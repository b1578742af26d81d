#define Eigen Eigen_x86_64_v4
#include "naive_eigen.inc"

extern "C" {
void mla_scale_naive_f64_x86_64_v4(const NaiveHead<double>& head);
void mla_scale_naive_f32_x86_64_v4(const NaiveHead<float>& head);

void mla_scale_naive_f64_x86_64_v4(const NaiveHead<double>& head) {
  naive(head);
}

void mla_scale_naive_f32_x86_64_v4(const NaiveHead<float>& head) {
  naive(head);
}
}
