#include <mla_scale/reference/kernel_choice.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace mla_scale::reference {
namespace {

constexpr std::int64_t k_lanes = 64;

template <typename Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename Real>
using InputMap = Eigen::Map<const Matrix<Real>, 0, Eigen::OuterStride<>>;

template <typename Real>
InputMap<Real> panel_of(const Real* data, std::int64_t rows) {
  return InputMap<Real>(data, rows, k_lanes, Eigen::OuterStride<>(k_lanes));
}

template <typename Real>
void multiply(const PanelProduct<Real>& product) {
  Eigen::Map<Matrix<Real>> result(product.result, product.rows, k_lanes);
  const auto right = panel_of(product.right, product.depth);
  const Eigen::OuterStride<> stride(product.left_stride);
  if (product.left_transposed) {
    result.noalias() =
        InputMap<Real>(product.left, product.depth, product.rows, stride).transpose() * right;
  } else {
    result.noalias() = InputMap<Real>(product.left, product.rows, product.depth, stride) * right;
  }
}

/// Turns the visible logits of one lane into exp(logit - maximum) and the others into 0, moving the
/// maximum where needed.
template <typename Real>
void exponentiate(const PanelAttention<Real>& panel, std::int64_t lane) {
  const Eigen::InnerStride<> step(k_lanes);
  using Column = Eigen::Map<Eigen::Array<Real, Eigen::Dynamic, 1>, 0, Eigen::InnerStride<>>;
  Column logits(panel.scratch + lane, panel.keys, step);
  const std::int64_t visible = std::min(panel.visible[lane], panel.keys);
  // Masked entries are set, not computed: exp(-inf) is not 0 in every vectorised exp.
  logits.tail(panel.keys - visible).setZero();
  if (visible == 0) {
    return;
  }
  const Real before = panel.maximum[lane];
  Real maximum = before;
  for (std::int64_t j = 0; j < visible; ++j) {
    maximum = std::max(maximum, logits[j]);
  }
  if (maximum != before) {
    const double shrink = std::exp(static_cast<double>(before) - static_cast<double>(maximum));
    panel.sum[lane] *= shrink;
    Column(panel.average + lane, panel.value_width, step) *= static_cast<Real>(shrink);
    panel.maximum[lane] = maximum;
  }
  double sum = 0.0;
  for (std::int64_t j = 0; j < visible; ++j) {
    logits[j] = std::exp(logits[j] - maximum);
    sum += static_cast<double>(logits[j]);
  }
  panel.sum[lane] += sum;
}

template <typename Real>
void attend(const PanelAttention<Real>& panel) {
  const InputMap<Real> keys(panel.key, panel.keys, panel.key_width,
                            Eigen::OuterStride<>(panel.key_stride));
  const InputMap<Real> values(panel.value, panel.keys, panel.value_width,
                              Eigen::OuterStride<>(panel.value_stride));
  Eigen::Map<Matrix<Real>> scores(panel.scratch, panel.keys, k_lanes);
  scores.noalias() = keys * panel_of(panel.query, panel.key_width);
  for (std::int64_t lane = 0; lane < k_lanes; ++lane) {
    exponentiate(panel, lane);
  }
  Eigen::Map<Matrix<Real>>(panel.average, panel.value_width, k_lanes).noalias() +=
      values.transpose() * scores;
}

} // namespace

extern const Kernel k_eigen_kernel = {"eigen",
                                      "the compiler's default",
                                      {k_lanes, multiply<double>, attend<double>},
                                      {k_lanes, multiply<float>, attend<float>}};

} // namespace mla_scale::reference
