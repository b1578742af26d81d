// Included by naive_eigen_*.cpp, which define MLA_SCALE_NAIVE_SUFFIX functions. In the file that is
// compiled for AVX-512 the namespace Eigen has another name, or the linker would merge the two.

#include "naive_attention.hpp"

#include <Eigen/Core>

namespace {

template <typename Real>
void naive(const NaiveHead<Real>& head) {
  using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Input = Eigen::Map<const Matrix>;
  const Input query(head.query, head.length, head.key_width);
  const Input key(head.key, head.length, head.key_width);
  const Input value(head.value, head.length, head.value_width);
  Eigen::Map<Matrix> logits(head.logits, head.length, head.length);
  Eigen::Map<Matrix> out(head.out, head.length, head.value_width);
  logits.noalias() = query * key.transpose();
  for (std::int64_t i = 0; i < head.length; ++i) {
    auto seen = logits.row(i).head(i + 1).array();
    seen = ((seen - seen.maxCoeff()) * head.scale).exp();
    seen /= seen.sum();
    logits.row(i).tail(head.length - i - 1).setZero();
  }
  out.noalias() = logits * value;
}

} // namespace
