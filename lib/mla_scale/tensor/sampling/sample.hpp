#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/capture.hpp>
#include <mla_scale/tensor/safetensors_writer.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace mla_scale::tensor::sampling {

/// How queries relate to keys, and with it how much a bug shows.
enum class Distribution {
  realistic, ///< scaled logits spread by 1.6, key 0 draws 3 more (a sink), a token its own key 1.5
  gaussian,  ///< the same spread without sink and locality
  flat,      ///< spread 0.05: attention is almost an average, which hides wrong scales
  peaked,    ///< spread 4: few keys get all the weight
};

/// The distribution of that name, or nothing.
[[nodiscard]] std::optional<Distribution> distribution_named(std::string_view name);
[[nodiscard]] std::string_view to_string(Distribution distribution);

/// What a sample is made for. Numbers of a model, but no model: `tensor` knows none.
struct SampleParameters {
  Geometry geometry;
  std::int64_t heads = 0;       ///< written: a divisor of the geometry's, 0 for all
  std::int64_t seq_len = 160;   ///< query rows
  std::int64_t prefix_len = 77; ///< key rows before the first query row
  std::uint64_t seed = 0;
  Dtype dtype = Dtype::bf16; ///< bf16, f16 or f32
  Distribution distribution = Distribution::realistic;
  double softmax_scale = 0; ///< only shapes the spread of the logits; it is not written
  /// Radians by position of each rotated pair, qk_rope_head_dim / 2 of them; empty for models that
  /// do not rotate.
  std::vector<double> inverse_frequencies;
  double cos_sin_factor = 1.0;
  bool interleaved = true; ///< pairs (2i, 2i + 1), else (i, i + R/2); rotated in place either way
  unsigned threads = 0;    ///< 0: as many as the machine has; never changes the bytes
  /// Told how many key rows of how many are written; may be empty.
  std::function<void(std::size_t done, std::size_t total)> progress;
};

/// Writes a sample as safetensors: q, k, v (expanded, after RoPE), kv_c, k_pe, kv_b_proj (latent),
/// q_pre, k_pe_pre (before RoPE), positions_q, positions_k, in the shapes of Capture's table.
///
/// With N the generator of generator.hpp, s the softmax scale, d = P + R the width of q, σ the
/// spread of the distribution, p the prefix, everything in float64 and [·] rounding to the dtype:
///
///     kv_c      [Tk, L]        = [N]
///     kv_b_proj [H·(P+V), L]   = [N / sqrt(L)]
///     k_pe_pre  [Tk, R]        = [N]
///     k[t, h]   = [W_UK[h] kv_c[t]] next to k_pe[t];  v[t, h] = [W_UV[h] kv_c[t]]
///     q_pre[i, h] = [g_h N  +  sink · k_nope[0, h] / |k_nope[0, h]|²  +  own · k_nope[p+i, h] /
///     |...|²]
///         (the last two in the nope columns), g_h = σ / (s·sqrt(d)) · (3/4 + h / (2·max(H - 1,
///         1))), sink = 3 / s and own = 1.5 / s, both 0 unless realistic
///     k_pe, q   = [RoPE of the rounded k_pe_pre, q_pre], positions p + i for queries
///
/// Sums run over the rank in ascending order. The heads' different gains make a permuted head
/// visible. k, v, q are computed from the rounded latent tensors, so that both levels agree to the
/// rounding.
///
/// Bit-exact on every machine with IEEE 754 arithmetic, except what RoPE touches (k_pe, q and the
/// last R columns of k), which depends on the C library's sine and cosine: these differ by at most
/// one unit of a double, which rounding to the dtype hides but for rare ties.
///
/// Memory: the weights as float32 and 64 tokens of all tensors, whatever the length.
/// Errors: usage for parameters that make no sample; write.
/// Returns the tensors of the file, in its order.
[[nodiscard]] Result<std::vector<TensorPlan>> write_sample(const SampleParameters& parameters,
                                                           const std::filesystem::path& path);

} // namespace mla_scale::tensor::sampling
