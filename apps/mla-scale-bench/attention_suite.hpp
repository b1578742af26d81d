#pragma once

#include "measure.hpp"

#include <cstdint>
#include <string>
#include <vector>

struct AttentionShape {
  std::int64_t heads;
  std::int64_t queries;
  std::int64_t keys;
};

/// Causal prefill of DeepSeek's head sizes (192, 128) from bf16 inputs: the reference in float64
/// and float32, on one thread; and what others would do.
[[nodiscard]] Group prefill_group(const AttentionShape& shape, unsigned threads, bool baselines);

/// The same prefill in float64 and float32 on 1, 2, 4 .. `threads` threads.
[[nodiscard]] Group scaling_group(const AttentionShape& shape, unsigned threads);

/// 1, 2, 4 .. `most`.
[[nodiscard]] std::vector<unsigned> thread_counts(unsigned most);

/// "mla-scale f64, 2 threads", as the contenders of scaling_group() are called.
[[nodiscard]] std::string scaling_name(bool f32, unsigned threads);

/// Prefill from the latent (512, 64 rope columns): keys and values are expanded on the way. Counts
/// the expansion of each key once for each head, too.
[[nodiscard]] Group latent_prefill_group(const AttentionShape& shape, unsigned threads);

/// Absorbed decode from the same latent.
[[nodiscard]] Group decode_group(const AttentionShape& shape, unsigned threads);

/// Few rows of many keys, as a check of a large capture samples them: each key is read for a few
/// products only. Against the same work head after head, each walking all keys.
[[nodiscard]] Group sampled_rows_group(const AttentionShape& shape, unsigned threads);
