// Included by exactly one kernel_*.cpp for each instruction set, which defines
// MLA_SCALE_KERNEL_TABLE and MLA_SCALE_KERNEL_NAME. Everything but the table is local to that file
// and nothing comes from the standard library, so that no two kernels share a symbol.
//
// Products may be fused into multiply-adds here (-ffp-contract=fast): kernels agree with each other
// to rounding, not to the bit. One kernel always gives the same bits.

#include <mla_scale/reference/kernel.hpp>

namespace {

using mla_scale::reference::PanelAttention;
using mla_scale::reference::PanelProduct;

// A tile of k_rows x k_vectors accumulators that the registers of the instruction set can hold,
// with k_rows a divisor of k_kernel_slack.
#if defined(__AVX512F__)
#define MLA_SCALE_KERNEL_INSTRUCTIONS "AVX-512"
constexpr int k_vector_bytes = 64;
constexpr int k_rows = 8;
constexpr int k_vectors = 3;
#elif defined(__AVX2__) && defined(__FMA__)
#define MLA_SCALE_KERNEL_INSTRUCTIONS "AVX2, FMA"
constexpr int k_vector_bytes = 32;
constexpr int k_rows = 4;
constexpr int k_vectors = 3;
#else
#if defined(__SSE4_2__)
#define MLA_SCALE_KERNEL_INSTRUCTIONS "SSE4.2"
#else
#define MLA_SCALE_KERNEL_INSTRUCTIONS "the compiler's default"
#endif
constexpr int k_vector_bytes = 16;
constexpr int k_rows = 4;
constexpr int k_vectors = 2;
#endif
static_assert(mla_scale::reference::k_kernel_slack % k_rows == 0);

// Columns of the inner product, and keys of the average, whose panel stays in the first cache.
constexpr std::int64_t k_depth = 96;
constexpr std::int64_t k_average_keys = 128;

template <typename Real>
struct Simd;

template <>
struct Simd<double> {
  using Bits = std::uint64_t;
  using Signed = std::int64_t;
  typedef double Vector __attribute__((vector_size(k_vector_bytes)));
  typedef std::uint64_t BitVector __attribute__((vector_size(k_vector_bytes)));
  typedef std::int64_t SignedVector __attribute__((vector_size(k_vector_bytes)));

  static constexpr double k_round = 0x1.8p52; // adding and subtracting it rounds to an integer
  static constexpr double k_log2_e = 0x1.71547652b82fep0;
  static constexpr double k_ln_2 = 0x1.62e42feep-1; // upper 32 bits: times an integer, exact
  static constexpr double k_ln_2_rest = 0x1.a39ef35793c76p-33;
  static constexpr double k_least = -708.0; // below, the result is set to 0
  static constexpr int k_bias = 1023;
  static constexpr int k_mantissa_bits = 52;
  // exp on [-ln 2 / 2, ln 2 / 2], interpolated in 12 Chebyshev nodes: relative error 1.4e-17.
  static constexpr double k_exp[] = {0x1p0,
                                     0x1p0,
                                     0x1.0000000000011p-1,
                                     0x1.555555555555ap-3,
                                     0x1.555555554f0bap-5,
                                     0x1.111111110f21ep-7,
                                     0x1.6c16c1880029fp-10,
                                     0x1.a01a01b1461c5p-13,
                                     0x1.a01991a10d9aep-16,
                                     0x1.71ddf56d8deb5p-19,
                                     0x1.28b4101c77212p-22,
                                     0x1.af632a0f7e2cep-26};
};

template <>
struct Simd<float> {
  using Bits = std::uint32_t;
  using Signed = std::int32_t;
  typedef float Vector __attribute__((vector_size(k_vector_bytes)));
  typedef float HalfVector __attribute__((vector_size(k_vector_bytes / 2)));
  typedef std::uint32_t BitVector __attribute__((vector_size(k_vector_bytes)));
  typedef std::int32_t SignedVector __attribute__((vector_size(k_vector_bytes)));

  static constexpr float k_round = 0x1.8p23F;
  static constexpr float k_log2_e = 0x1.715476p0F;
  static constexpr float k_ln_2 = 0x1.62e4p-1F; // upper 15 bits
  static constexpr float k_ln_2_rest = 0x1.7f7d1cp-20F;
  static constexpr float k_least = -87.0F;
  static constexpr int k_bias = 127;
  static constexpr int k_mantissa_bits = 23;
  // As above in 7 nodes: relative error 5e-9.
  static constexpr float k_exp[] = {0x1p0F,         0x1p0F,         0x1p-1F,        0x1.555404p-3F,
                                    0x1.5554acp-5F, 0x1.126fb8p-7F, 0x1.6d7544p-10F};
};

template <typename Real>
constexpr std::int64_t k_width = k_vector_bytes / static_cast<std::int64_t>(sizeof(Real));
template <typename Real>
constexpr std::int64_t k_lanes = k_vectors* k_width<Real>;

template <typename Real>
[[gnu::always_inline]] inline typename Simd<Real>::Vector load(const Real* from) {
  typename Simd<Real>::Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

template <typename Vector, typename Number>
[[gnu::always_inline]] inline void store(const Vector& vector, Number* to) {
  __builtin_memcpy(to, &vector, sizeof vector);
}

/// A vector of equal lanes. Subtracting zero changes no number, where adding it would turn -0 to 0;
/// so the compiler may leave the subtraction out.
template <typename Real>
[[gnu::always_inline]] inline typename Simd<Real>::Vector splat(Real x) {
  return x - typename Simd<Real>::Vector{};
}

/// e^x for x <= 0, to 1.5 units in the last place; 0 below -708 (float: -87); NaN for NaN.
template <typename Real>
[[gnu::always_inline]] inline typename Simd<Real>::Vector
exp_of_negative(typename Simd<Real>::Vector x) {
  using S = Simd<Real>;
  using Vector = typename S::Vector;
  using BitVector = typename S::BitVector;
  const Vector shifted = x * S::k_log2_e + S::k_round;
  const Vector integer = shifted - S::k_round;
  const Vector rest = (x - integer * S::k_ln_2) - integer * S::k_ln_2_rest;
  constexpr int k_degree = static_cast<int>(sizeof S::k_exp / sizeof S::k_exp[0]) - 1;
  Vector power = splat<Real>(S::k_exp[k_degree]);
#pragma GCC unroll 16
  for (int i = k_degree - 1; i >= 0; --i) {
    power = power * rest + S::k_exp[i];
  }
  // The low bits of `shifted` are the integer; a product, not a sum of exponents, keeps NaN.
  BitVector bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + static_cast<typename S::Bits>(S::k_bias)) << S::k_mantissa_bits;
  Vector scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return x < S::k_least ? Vector{} : power * scale;
}

/// result[0 .. k_rows, lanes] (+)= left · right. `k_transposed` as in PanelProduct.
template <typename Real, bool k_transposed>
[[gnu::always_inline]] inline void multiply_tile(std::int64_t depth, const Real* left,
                                                 std::int64_t stride, const Real* right,
                                                 Real* result, bool accumulate) {
  using Vector = typename Simd<Real>::Vector;
  constexpr std::int64_t lanes = k_lanes<Real>;
  Vector sums[k_rows][k_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < k_rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < k_vectors; ++v) {
      sums[i][v] = accumulate ? load(result + i * lanes + v * k_width<Real>) : Vector{};
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector factors[k_vectors];
#pragma GCC unroll 4
    for (int v = 0; v < k_vectors; ++v) {
      factors[v] = load(right + k * lanes + v * k_width<Real>);
    }
#pragma GCC unroll 8
    for (int i = 0; i < k_rows; ++i) {
      const Vector x = splat(k_transposed ? left[k * stride + i] : left[i * stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < k_vectors; ++v) {
        sums[i][v] += x * factors[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < k_rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < k_vectors; ++v) {
      store(sums[i][v], result + i * lanes + v * k_width<Real>);
    }
  }
}

/// Cut along the depth so that a slice of `right` stays in the first cache while `left` streams by.
template <typename Real, bool k_transposed>
void multiply_sliced(const PanelProduct<Real>& product, std::int64_t slice, bool accumulate) {
  const std::int64_t row_step = k_transposed ? 1 : product.left_stride;
  const std::int64_t column_step = k_transposed ? product.left_stride : 1;
  for (std::int64_t k = 0; k < product.depth; k += slice) {
    const std::int64_t depth = product.depth - k < slice ? product.depth - k : slice;
    for (std::int64_t i = 0; i < product.rows; i += k_rows) {
      multiply_tile<Real, k_transposed>(depth, product.left + i * row_step + k * column_step,
                                        product.left_stride, product.right + k * k_lanes<Real>,
                                        product.result + i * k_lanes<Real>, accumulate || k > 0);
    }
  }
}

template <typename Real>
void multiply(const PanelProduct<Real>& product) {
  if (product.left_transposed) {
    multiply_sliced<Real, true>(product, k_depth, false);
  } else {
    multiply_sliced<Real, false>(product, k_depth, false);
  }
}

[[gnu::always_inline]] inline void add_up(Simd<double>::Vector powers, double* sums) {
  store(load(sums) + powers, sums);
}

[[gnu::always_inline]] inline void add_up(Simd<float>::Vector powers, double* sums) {
  using Half = Simd<float>::HalfVector;
  Half halves[2];
  __builtin_memcpy(halves, &powers, sizeof halves);
  for (const Half& half : halves) {
    store(load(sums) + __builtin_convertvector(half, Simd<double>::Vector), sums);
    sums += k_width<double>;
  }
}

/// Keys [begin, end) of the tile: the largest visible logit of each lane, from `largest` on.
template <typename Real, bool k_masked>
[[gnu::always_inline]] inline void
largest_logit(const Real* logits, std::int64_t begin, std::int64_t end,
              typename Simd<Real>::SignedVector visible, typename Simd<Real>::Vector& largest) {
  for (std::int64_t j = begin; j < end; ++j) {
    const auto logit = load(logits + j * k_lanes<Real>);
    auto larger = logit > largest;
    if constexpr (k_masked) {
      larger &= visible > static_cast<typename Simd<Real>::Signed>(j);
    }
    largest = larger ? logit : largest;
  }
}

/// Turns logits to exp(logit - maximum), masked ones to 0, and adds them to `sums`.
template <typename Real, bool k_masked>
[[gnu::always_inline]] inline void exponentiate(Real* logits, std::int64_t begin, std::int64_t end,
                                                typename Simd<Real>::SignedVector visible,
                                                typename Simd<Real>::Vector maximum, double* sums) {
  using Vector = typename Simd<Real>::Vector;
  for (std::int64_t j = begin; j < end; ++j) {
    Vector power = exp_of_negative<Real>(load(logits + j * k_lanes<Real>) - maximum);
    if constexpr (k_masked) {
      power = visible > static_cast<typename Simd<Real>::Signed>(j) ? power : Vector{};
    }
    store(power, logits + j * k_lanes<Real>);
    add_up(power, sums);
  }
}

/// Lanes [first, first + vector width) of attend().
template <typename Real>
void softmax(const PanelAttention<Real>& panel, std::int64_t first, std::int64_t seen_by_all,
             std::int64_t keys) {
  using S = Simd<Real>;
  constexpr int width = static_cast<int>(k_width<Real>);
  typename S::SignedVector visible;
  for (int lane = 0; lane < width; ++lane) {
    visible[lane] = static_cast<typename S::Signed>(panel.visible[first + lane]);
  }
  const typename S::Vector before = load(panel.maximum + first);
  typename S::Vector maximum = before;
  Real* logits = panel.scratch + first;
  largest_logit<Real, false>(logits, 0, seen_by_all, visible, maximum);
  largest_logit<Real, true>(logits, seen_by_all, keys, visible, maximum);

  double sums[static_cast<unsigned>(width)] = {};
  exponentiate<Real, false>(logits, 0, seen_by_all, visible, maximum, sums);
  exponentiate<Real, true>(logits, seen_by_all, keys, visible, maximum, sums);

  typename S::Vector shrink;
  bool moved = false;
  for (int lane = 0; lane < width; ++lane) {
    const bool moves = maximum[lane] != before[lane];
    const double factor =
        moves
            ? __builtin_exp(static_cast<double>(before[lane]) - static_cast<double>(maximum[lane]))
            : 1.0;
    moved = moved || moves;
    shrink[lane] = static_cast<Real>(factor);
    panel.sum[first + lane] = panel.sum[first + lane] * factor + sums[lane];
  }
  if (moved) {
    store(maximum, panel.maximum + first);
    for (std::int64_t c = 0; c < panel.value_width; ++c) {
      Real* average = panel.average + c * k_lanes<Real> + first;
      store(load(average) * shrink, average);
    }
  }
}

template <typename Real>
void attend(const PanelAttention<Real>& panel) {
  std::int64_t keys = 0;
  std::int64_t seen_by_all = panel.keys;
  for (std::int64_t lane = 0; lane < k_lanes<Real>; ++lane) {
    keys = panel.visible[lane] > keys ? panel.visible[lane] : keys;
    seen_by_all = panel.visible[lane] < seen_by_all ? panel.visible[lane] : seen_by_all;
  }
  if (keys == 0) {
    return;
  }
  multiply_sliced<Real, false>(
      {keys, panel.key_width, panel.key, panel.key_stride, false, panel.query, panel.scratch},
      k_depth, false);
  for (int v = 0; v < k_vectors; ++v) {
    softmax(panel, v * k_width<Real>, seen_by_all, keys);
  }
  multiply_sliced<Real, true>({panel.value_width, keys, panel.value, panel.value_stride, true,
                               panel.scratch, panel.average},
                              k_average_keys, true);
}

} // namespace

extern "C" {
extern const mla_scale::reference::Kernel MLA_SCALE_KERNEL_TABLE;
const mla_scale::reference::Kernel MLA_SCALE_KERNEL_TABLE = {
    MLA_SCALE_KERNEL_NAME,
    MLA_SCALE_KERNEL_INSTRUCTIONS,
    {k_lanes<double>, multiply<double>, attend<double>},
    {k_lanes<float>, multiply<float>, attend<float>}};
}
