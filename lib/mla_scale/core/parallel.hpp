#pragma once

#include <cstddef>
#include <functional>

namespace mla_scale {

/// Number of threads to use when the caller said `wanted`: that many, or for 0 one a processor.
[[nodiscard]] std::size_t thread_count(int wanted);

/// Calls `work(thread, index)` once for each index below `count` from up to `threads` threads
/// (0: one a processor); `thread` is below the number of threads and never runs twice at a time.
/// An exception of a call is thrown again here, after all threads have ended.
void for_each_index(std::size_t count, int threads,
                    const std::function<void(std::size_t thread, std::size_t index)>& work);

} // namespace mla_scale
