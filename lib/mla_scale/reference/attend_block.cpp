#include <mla_scale/reference/attend_block.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace mla_scale::reference {
namespace {

template <typename Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename Real>
using InputMap = Eigen::Map<const Matrix<Real>, 0, Eigen::OuterStride<>>;

/// Turns the visible logits of one row into exp(logit - maximum) and the others into 0, moving the
/// maximum where needed.
template <typename Real>
void exponentiate(const AttendBlock<Real>& block, std::int64_t row) {
  Real* logits = block.scratch + row * block.keys;
  const std::int64_t visible = block.visible[row];
  // Masked entries are set, not computed: exp(-inf) is not 0 in every vectorised exp.
  std::fill(logits + visible, logits + block.keys, Real{0});
  if (visible == 0) {
    return;
  }
  double& maximum = block.maximum[row];
  double& sum = block.sum[row];
  const double tile_maximum = *std::max_element(logits, logits + visible);
  if (tile_maximum > maximum) {
    const double shrink = std::exp(maximum - tile_maximum);
    sum *= shrink;
    Real* average = block.average + row * block.value_width;
    std::for_each(average, average + block.value_width,
                  [shrink](Real& x) { x *= static_cast<Real>(shrink); });
    maximum = tile_maximum;
  }
  const Real shift = static_cast<Real>(maximum);
  double tile_sum = 0.0;
  for (std::int64_t j = 0; j < visible; ++j) {
    logits[j] = std::exp(logits[j] - shift);
    tile_sum += static_cast<double>(logits[j]);
  }
  sum += tile_sum;
}

template <typename Real>
void attend(const AttendBlock<Real>& block) {
  Eigen::Map<Matrix<Real>> scores(block.scratch, block.rows, block.keys);
  scores.noalias() = InputMap<Real>(block.query, block.rows, block.key_width,
                                    Eigen::OuterStride<>(block.key_width))
                     * InputMap<Real>(block.key, block.keys, block.key_width,
                                      Eigen::OuterStride<>(block.key_stride))
                           .transpose();
  for (std::int64_t row = 0; row < block.rows; ++row) {
    exponentiate(block, row);
  }
  Eigen::Map<Matrix<Real>>(block.average, block.rows, block.value_width).noalias() +=
      scores
      * InputMap<Real>(block.value, block.keys, block.value_width,
                       Eigen::OuterStride<>(block.value_stride));
}

} // namespace

void attend_block(const AttendBlock<double>& block) {
  attend(block);
}

void attend_block(const AttendBlock<float>& block) {
  attend(block);
}

} // namespace mla_scale::reference
