#pragma once

#include "measure.hpp"

#include <cstdint>
#include <vector>

struct AttentionShape {
  std::int64_t heads;
  std::int64_t queries;
  std::int64_t keys;
};

/// Causal prefill of DeepSeek's head sizes (192, 128) from bf16 inputs: the reference in float64
/// and float32, on one thread, by the plain kernel; and what others would do.
[[nodiscard]] Group prefill_group(const AttentionShape& shape, unsigned threads, bool baselines);

/// Absorbed decode with a latent of 512 and 64 rope columns.
[[nodiscard]] Group decode_group(const AttentionShape& shape, unsigned threads);
