#pragma once

#include <cstdint>

/// What a kernel is: plain functions over raw pointers, so that the same source can be compiled for
/// several instruction sets and chosen when the program runs. Nothing here has code of its own: an
/// inline function compiled into two kernels with different flags would be merged by the linker.
///
/// A kernel works on a panel: `lanes` query rows side by side, one vector lane each. A panel of
/// width n is [n, lanes], a column of the queries next to each other. Keys and values stay as they
/// are, row-major. Buffers are readable for k_kernel_slack rows or columns past the end.
namespace mla_scale::reference {

/// Kernels round counts up to a multiple of this, reading past the end of inputs and computing
/// results that nobody reads.
inline constexpr std::int64_t k_kernel_slack = 8;

/// result[i, lane] = Σ_k left[i, k] · right[k, lane].
template <typename Real>
struct PanelProduct {
  std::int64_t rows;
  std::int64_t depth;
  const Real* left;         ///< [rows, depth]
  std::int64_t left_stride; ///< between rows; between columns when `left_transposed`
  bool left_transposed;     ///< left[i, k] lies at left[k · left_stride + i]
  const Real* right;        ///< [depth, lanes]
  Real* result;             ///< [rows, lanes], with room for k_kernel_slack rows more
};

/// One panel of query rows against one tile of keys, as an online softmax.
template <typename Real>
struct PanelAttention {
  std::int64_t keys;
  std::int64_t key_width;
  std::int64_t value_width;
  const Real* query; ///< [key_width, lanes], softmax scale included
  const Real* key;   ///< [keys, key_width]
  std::int64_t key_stride;
  const Real* value; ///< [keys, value_width]
  std::int64_t value_stride;
  const std::int64_t* visible; ///< [lanes]: the row sees the first so many keys of the tile
  Real* maximum;               ///< [lanes], what powers are taken against: the largest logit so
                               ///< far, or one at most 8 below it; starts at -inf
  double* sum;                 ///< [lanes], of exp(logit - maximum); starts at 0
  Real* average; ///< [value_width, lanes], not yet divided by sum; starts at 0; room as above
  Real* scratch; ///< [keys, lanes], room as above
};

template <typename Real>
struct PanelFunctions {
  std::int64_t lanes;
  void (*multiply)(const PanelProduct<Real>&);
  /// average = Σ exp(logit - maximum)·v and sum, with earlier tiles rescaled when the maximum
  /// moves.
  void (*attend)(const PanelAttention<Real>&);
};

/// One row of the table of kernels.
struct Kernel {
  const char* name;         ///< as in MLA_SCALE_KERNEL
  const char* instructions; ///< what the compiler was told it may use, from its own macros
  PanelFunctions<double> f64;
  PanelFunctions<float> f32;
};

} // namespace mla_scale::reference
