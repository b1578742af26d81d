#pragma once

#include "simulator.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace simulator {

/// To nearest, as a value of the dtype.
inline double round_to(mla_scale::tensor::Dtype dtype, double x) {
  using mla_scale::tensor::Dtype;
  if (dtype == Dtype::f32) {
    return static_cast<double>(static_cast<float>(x));
  }
  const int bits = dtype == Dtype::bf16 ? 8 : 11;
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  return std::isfinite(x) ? std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits)
                          : x;
}

/// [first, second, third] doubles.
struct Array {
  std::size_t first = 0;
  std::size_t second = 0;
  std::size_t third = 0;
  std::vector<double> data;

  Array() = default;
  Array(std::size_t a, std::size_t b, std::size_t c)
      : first(a), second(b), third(c), data(a * b * c, 0.0) {}
  double& at(std::size_t a, std::size_t b, std::size_t c) {
    return data[(a * second + b) * third + c];
  }
  [[nodiscard]] double at(std::size_t a, std::size_t b, std::size_t c) const {
    return data[(a * second + b) * third + c];
  }
};

struct Inputs {
  Array q_pre;    // [Tq, H, nope + rope]
  Array k_nope;   // [Tk, H, nope]
  Array k_pe_pre; // [Tk, 1, rope]
  Array v;        // [Tk, H, value]
  std::vector<double> frequencies;
  std::vector<double> plain;
};

struct Output {
  Array out; // [Tq, H, value]
  Array lse; // [Tq, H, 1]
};

/// How columns are rotated.
struct Turn {
  bool interleaved = true;
  std::vector<double> frequencies; ///< none: not rotated
  std::function<double(std::size_t)> position = [](std::size_t at) {
    return static_cast<double>(at);
  };
  /// Neighbours are paired, but each column has the cosine that halves would give it.
  bool mixed = false;
};

/// What the bugs change, before attend() or after it.
class Kernel {
public:
  Kernel(const Settings& settings, Inputs inputs)
      : m_s(settings), m_in(std::move(inputs)),
        m_queries(static_cast<std::size_t>(settings.queries)),
        m_prefix(static_cast<std::size_t>(settings.prefix)), m_keys(m_queries + m_prefix),
        m_heads(static_cast<std::size_t>(settings.heads)),
        m_nope(static_cast<std::size_t>(settings.nope)),
        m_rope(static_cast<std::size_t>(settings.rope)),
        m_value(static_cast<std::size_t>(settings.value)) {
    base = 1.0 / std::sqrt(static_cast<double>(settings.nope + settings.rope));
    scale = base * settings.mscale * settings.mscale;
    q = Array(m_queries, m_heads, m_nope + m_rope);
    k = Array(m_keys, m_heads, m_nope + m_rope);
    v = m_in.v;
    rotate_queries({settings.interleaved, m_in.frequencies});
    rotate_keys({settings.interleaved, m_in.frequencies});
    visible.assign(m_queries, std::vector<double>(m_keys, 0.0));
    for (std::size_t i = 0; i < m_queries; ++i) {
      for (std::size_t j = 0; j <= i + m_prefix; ++j) {
        visible[i][j] = 1.0;
      }
    }
  }

  /// q from the part before RoPE.
  void rotate_queries(const Turn& turning) {
    for (std::size_t i = 0; i < m_queries; ++i) {
      for (std::size_t h = 0; h < m_heads; ++h) {
        std::vector<double> pe(m_rope);
        for (std::size_t c = 0; c < m_nope; ++c) {
          q.at(i, h, c) = m_in.q_pre.at(i, h, c);
        }
        for (std::size_t c = 0; c < m_rope; ++c) {
          pe[c] = m_in.q_pre.at(i, h, m_nope + c);
        }
        pe = turn(pe, i + m_prefix, turning);
        for (std::size_t c = 0; c < m_rope; ++c) {
          q.at(i, h, m_nope + c) = round_to(m_s.dtype, pe[c]);
        }
      }
    }
  }

  /// k from the part before RoPE.
  void rotate_keys(const Turn& turning) {
    for (std::size_t j = 0; j < m_keys; ++j) {
      std::vector<double> pe(m_rope);
      for (std::size_t c = 0; c < m_rope; ++c) {
        pe[c] = m_in.k_pe_pre.at(j, 0, c);
      }
      pe = turn(pe, j, turning);
      for (std::size_t h = 0; h < m_heads; ++h) {
        for (std::size_t c = 0; c < m_nope; ++c) {
          k.at(j, h, c) = m_in.k_nope.at(j, h, c);
        }
        for (std::size_t c = 0; c < m_rope; ++c) {
          k.at(j, h, m_nope + c) = round_to(m_s.dtype, pe[c]);
        }
      }
    }
  }

  /// Keys [first, last) only, weighted by `visible`; P and out rounded to the dtype.
  [[nodiscard]] Output attend(std::size_t first, std::size_t last) const {
    Output result{Array(m_queries, m_heads, m_value), Array(m_queries, m_heads, 1)};
    for (std::size_t h = 0; h < m_heads; ++h) {
      for (std::size_t i = 0; i < m_queries; ++i) {
        std::vector<double> x(m_keys, -std::numeric_limits<double>::infinity());
        double top = -std::numeric_limits<double>::infinity();
        for (std::size_t j = first; j < last; ++j) {
          if (visible[i][j] > 0.0) {
            double dot = 0.0;
            for (std::size_t c = 0; c < m_nope + m_rope; ++c) {
              dot += q.at(i, h, c) * k.at(j, h, c);
            }
            if (m_s.round_logits) {
              dot = round_to(m_s.dtype, dot);
            }
            x[j] = dot * (row_scale ? row_scale(i, j) : scale);
            if (m_s.round_logits) {
              x[j] = round_to(m_s.dtype, x[j]);
            }
            top = std::max(top, x[j]);
          }
        }
        double sum = lanes ? lanes(i) * std::exp(-top) : 0.0;
        for (std::size_t j = first; j < last; ++j) {
          sum += visible[i][j] > 0.0 ? visible[i][j] * std::exp(x[j] - top) : 0.0;
        }
        for (std::size_t j = first; j < last; ++j) {
          if (visible[i][j] > 0.0) {
            const double p = round_to(m_s.dtype, visible[i][j] * std::exp(x[j] - top) / sum);
            for (std::size_t c = 0; c < m_value; ++c) {
              result.out.at(i, h, c) += p * v.at(j, h, c);
            }
          }
        }
        for (std::size_t c = 0; c < m_value; ++c) {
          double& value = result.out.at(i, h, c);
          value = std::isfinite(top)
                      ? round_to(m_s.wide_output ? mla_scale::tensor::Dtype::f32 : m_s.dtype, value)
                      : std::numeric_limits<double>::quiet_NaN();
        }
        result.lse.at(i, h, 0) = top + std::log(sum);
        maximum.at(i, h, 0) = top;
      }
    }
    return result;
  }
  [[nodiscard]] Output attend() const { return attend(0, m_keys); }

  /// Chunks of keys apart, that begin at 0 and at `boundaries`, joined with weights exp(slope ·
  /// lse).
  [[nodiscard]] Output merged(const std::vector<std::size_t>& boundaries, double slope) const {
    std::vector<Output> parts;
    for (std::size_t at = 0; at <= boundaries.size(); ++at) {
      parts.push_back(attend(at == 0 ? 0 : boundaries[at - 1],
                             at == boundaries.size() ? m_keys : boundaries[at]));
    }
    auto result = attend();
    for (std::size_t i = 0; i < m_queries; ++i) {
      for (std::size_t h = 0; h < m_heads; ++h) {
        double sum = 0.0;
        std::vector<double> merged(m_value, 0.0);
        for (const auto& part : parts) {
          const double lse = part.lse.at(i, h, 0);
          if (!std::isfinite(lse)) {
            continue; // The row sees none of its keys.
          }
          const double weight = std::exp(slope * (lse - result.lse.at(i, h, 0)));
          sum += weight;
          for (std::size_t c = 0; c < m_value; ++c) {
            merged[c] += weight * part.out.at(i, h, c);
          }
        }
        for (std::size_t c = 0; c < m_value; ++c) {
          result.out.at(i, h, c) = round_to(m_s.dtype, merged[c] / sum);
        }
      }
    }
    return result;
  }

  void mask(const std::function<bool(std::int64_t, std::int64_t)>& keep) {
    for (std::size_t i = 0; i < m_queries; ++i) {
      for (std::size_t j = 0; j < m_keys; ++j) {
        visible[i][j] =
            keep(static_cast<std::int64_t>(i + m_prefix), static_cast<std::int64_t>(j)) ? 1.0 : 0.0;
      }
    }
  }

  double base = 0.0;
  double scale = 0.0;
  Array q;
  Array k;
  Array v;
  std::vector<std::vector<double>> visible; ///< how often a key counts
  std::function<double(std::size_t, std::size_t)> row_scale;
  std::function<double(std::size_t)> lanes; ///< keys of logit 0 without value that a row counts
  mutable Array maximum{static_cast<std::size_t>(1), 1, 1};

  [[nodiscard]] const Inputs& inputs() const { return m_in; }
  [[nodiscard]] std::size_t queries() const { return m_queries; }
  [[nodiscard]] std::size_t keys() const { return m_keys; }
  [[nodiscard]] std::size_t prefix() const { return m_prefix; }
  [[nodiscard]] std::size_t heads() const { return m_heads; }
  [[nodiscard]] std::size_t nope() const { return m_nope; }
  [[nodiscard]] std::size_t rope() const { return m_rope; }
  [[nodiscard]] std::size_t value() const { return m_value; }
  [[nodiscard]] const Settings& settings() const { return m_s; }

private:
  [[nodiscard]] std::vector<double> turn(const std::vector<double>& x, std::size_t at,
                                         const Turn& turning) const {
    const auto& frequencies = turning.frequencies;
    if (frequencies.empty()) {
      return x;
    }
    std::vector<double> y(x.size());
    const std::size_t half = x.size() / 2;
    const double position = turning.position(at) + static_cast<double>(m_s.first_position);
    const auto angle = [&](std::size_t pair, std::size_t column) {
      return position * frequencies[turning.mixed ? column % half : pair];
    };
    for (std::size_t pair = 0; pair < half; ++pair) {
      const bool neighbours = turning.interleaved || turning.mixed;
      const std::size_t a = neighbours ? 2 * pair : pair;
      const std::size_t b = neighbours ? 2 * pair + 1 : pair + half;
      y[a] = x[a] * std::cos(angle(pair, a)) - x[b] * std::sin(angle(pair, a));
      y[b] = x[b] * std::cos(angle(pair, b)) + x[a] * std::sin(angle(pair, b));
    }
    return y;
  }

  Settings m_s;
  Inputs m_in;
  std::size_t m_queries;
  std::size_t m_prefix;
  std::size_t m_keys;
  std::size_t m_heads;
  std::size_t m_nope;
  std::size_t m_rope;
  std::size_t m_value;
};

/// out and lse of the heads after them.
void swap_heads(Array& array);

/// What a bug does to what the kernel returned.
using After = std::function<void(Output&)>;

/// The softmax scale that an identifier "scale.", or a variant of one, means.
double scale_of(const Settings& settings, const std::string& id);

/// Another formula that goes by the same identifier: what follows a colon in `bug`. \return false
/// when there is no such variant
bool apply_variant(Kernel& kernel, const std::string& bug, After& after);

} // namespace simulator
