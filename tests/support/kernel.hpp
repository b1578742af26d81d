#pragma once

#include "support/tensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

/// A plain attention kernel for tests, as a GPU has one: shares no code with the library. Roundings
/// are those of bfloat16 by bits, so that the library's own cannot hide a fault.
namespace kernel {

/// Of DeepSeek-V3: (1 + 0.1 ln 40)^2 / sqrt(192).
inline constexpr double k_scale = 0.1352337788608801;

inline double to_bf16(double value) {
  const auto single = static_cast<float>(value);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &single, sizeof bits);
  bits = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) & 0xFFFF0000U;
  float rounded = 0.0F;
  std::memcpy(&rounded, &bits, sizeof rounded);
  return static_cast<double>(rounded);
}

/// Towards zero, as a shift of the bits does.
inline double cut_to_bf16(double value) {
  const auto single = static_cast<float>(value);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &single, sizeof bits);
  bits &= 0xFFFF0000U;
  float cut = 0.0F;
  std::memcpy(&cut, &bits, sizeof cut);
  return static_cast<double>(cut);
}

inline double to_f32(double value) {
  return static_cast<double>(static_cast<float>(value));
}

inline double exact(double value) {
  return value;
}

/// Deterministic normal numbers: sums of twelve uniform ones.
inline std::vector<double> normal(std::uint64_t seed, std::int64_t count, double deviation = 1.0) {
  const std::vector<double> uniform = tensors::numbers(seed, 12 * count);
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) {
    double sum = 0.0;
    for (std::int64_t k = 0; k < 12; ++k) {
      sum += uniform[static_cast<std::size_t>(12 * i + k)];
    }
    values.push_back(to_bf16(deviation * sum / 2.0));
  }
  return values;
}

struct Shape {
  std::int64_t queries = 192;
  std::int64_t keys = 192;
  std::int64_t heads = 4;
  std::int64_t nope = 128;
  std::int64_t rope = 64;
  std::int64_t v = 128;
};

/// What the kernel does; each member may be set wrong on purpose.
struct Kernel {
  double scale = 0.0;
  std::function<double(double)> logit = exact; ///< of <q, k> and of scale · <q, k>
  bool rounds_product = true;                  ///< false: `logit` only of scale · <q, k>
  std::function<double(double)> probability = to_bf16;
  bool sums_rounded = false; ///< the probabilities as they were rounded
  std::function<double(double)> output = to_bf16;
  std::function<double(double)> lse = to_f32;
  std::function<std::int64_t(std::int64_t row, std::int64_t visible)> visible =
      [](std::int64_t, std::int64_t n) { return n; };
  double sink = -1e300;
};

/// Inputs, and room for outputs; values stay reachable so that tests can damage them.
struct Run {
  Shape shape;
  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
  std::vector<double> out;
  std::vector<double> lse; // [rows, heads]

  [[nodiscard]] double& out_at(std::int64_t row, std::int64_t head, std::int64_t column) {
    return out[static_cast<std::size_t>((row * shape.heads + head) * shape.v + column)];
  }
  [[nodiscard]] double& lse_at(std::int64_t row, std::int64_t head) {
    return lse[static_cast<std::size_t>(row * shape.heads + head)];
  }

  [[nodiscard]] tensors::Capture capture() const {
    tensors::Capture capture;
    capture.q = tensors::view(q, shape.queries, shape.heads, shape.nope + shape.rope);
    capture.k = tensors::view(k, shape.keys, shape.heads, shape.nope + shape.rope);
    capture.v = tensors::view(v, shape.keys, shape.heads, shape.v);
    if (!out.empty()) {
      capture.out = tensors::view(out, shape.queries, shape.heads, shape.v);
    }
    if (!lse.empty()) {
      capture.lse = tensors::view(lse, shape.queries, shape.heads, 1);
    }
    capture.heads = shape.heads;
    capture.query_rows = shape.queries;
    capture.key_rows = shape.keys;
    capture.sequences = {{0, shape.queries, 0, shape.keys}};
    return capture;
  }
};

/// Normal inputs in bf16; `deviation` of q sets the spread of the logits.
inline Run inputs(const Shape& shape, double deviation = 1.0, std::uint64_t seed = 11) {
  const std::int64_t width = shape.nope + shape.rope;
  Run run;
  run.shape = shape;
  run.q = normal(seed, shape.queries * shape.heads * width, deviation);
  run.k = normal(seed + 1, shape.keys * shape.heads * width);
  run.v = normal(seed + 2, shape.keys * shape.heads * shape.v);
  return run;
}

/// Fills out and lse of a run.
inline void attend(Run& run, const Kernel& kernel) {
  const Shape& s = run.shape;
  const std::int64_t width = s.nope + s.rope;
  run.out.assign(static_cast<std::size_t>(s.queries * s.heads * s.v), 0.0);
  run.lse.assign(static_cast<std::size_t>(s.queries * s.heads), 0.0);
  std::vector<double> p;
  std::vector<double> sum(static_cast<std::size_t>(s.v));
  for (std::int64_t row = 0; row < s.queries; ++row) {
    const std::int64_t n =
        std::clamp(kernel.visible(row, row + 1 + s.keys - s.queries), std::int64_t{1}, s.keys);
    for (std::int64_t head = 0; head < s.heads; ++head) {
      const double* q = run.q.data() + (row * s.heads + head) * width;
      p.clear();
      for (std::int64_t j = 0; j < n; ++j) {
        const double* k = run.k.data() + (j * s.heads + head) * width;
        double dot = 0.0;
        for (std::int64_t c = 0; c < width; ++c) {
          dot += q[c] * k[c];
        }
        p.push_back(kernel.logit(kernel.scale * (kernel.rounds_product ? kernel.logit(dot) : dot)));
      }
      const double maximum = *std::max_element(p.begin(), p.end());
      double total = 0.0;
      for (double& x : p) {
        x = std::exp(x - maximum);
        total += kernel.sums_rounded ? kernel.probability(x) : x;
      }
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::int64_t j = 0; j < n; ++j) {
        const double weight = kernel.probability(p[static_cast<std::size_t>(j)]);
        const double* v = run.v.data() + (j * s.heads + head) * s.v;
        for (std::int64_t c = 0; c < s.v; ++c) {
          sum[static_cast<std::size_t>(c)] += weight * v[c];
        }
      }
      run.lse_at(row, head) = kernel.lse(maximum + std::log(total));
      const double all = total + std::exp(kernel.sink - maximum);
      for (std::int64_t c = 0; c < s.v; ++c) {
        run.out_at(row, head, c) = kernel.output(sum[static_cast<std::size_t>(c)] / all);
      }
    }
  }
}

} // namespace kernel
