#pragma once

#include <cstddef>
#include <functional>

namespace mla_scale {

/// `threads`, or as many as the machine has for 0, at least 1.
[[nodiscard]] unsigned threads_or_all(unsigned threads);

/// So many of them that `bytes` are enough when each holds `bytes_of_one`, at least 1.
[[nodiscard]] unsigned threads_within(std::size_t bytes, std::size_t bytes_of_one,
                                      unsigned threads);

/// Calls `body(0)` .. `body(count - 1)`, each once, on `threads` threads (0: as many as the machine
/// has). The calls may come in any order; the caller keeps results in their places, so the outcome
/// does not depend on it.
void parallel_for(std::size_t count, unsigned threads,
                  const std::function<void(std::size_t)>& body);

} // namespace mla_scale
