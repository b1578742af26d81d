#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace mla_scale::tensor::sampling {

/// Calls `work(i)` for i in [0, count), each once, on up to `threads` threads. `work` must not
/// throw.
template <typename Work>
void for_each_index(unsigned threads, std::int64_t count, const Work& work) {
  std::atomic<std::int64_t> next = 0;
  const auto run = [&] {
    for (std::int64_t i = next++; i < count; i = next++) {
      work(i);
    }
  };
  std::vector<std::jthread> others;
  const std::int64_t wanted = std::min<std::int64_t>(threads, count);
  for (std::int64_t i = 1; i < wanted; ++i) {
    others.emplace_back(run);
  }
  run();
}

} // namespace mla_scale::tensor::sampling
