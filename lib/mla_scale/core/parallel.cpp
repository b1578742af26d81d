#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace mla_scale {

unsigned threads_or_all(unsigned threads) {
  return threads != 0 ? threads : std::max(1U, std::thread::hardware_concurrency());
}

unsigned threads_within(std::size_t bytes, std::size_t bytes_of_one, unsigned threads) {
  const std::size_t fitting = bytes / std::max<std::size_t>(1, bytes_of_one);
  return static_cast<unsigned>(std::clamp<std::size_t>(fitting, 1, threads_or_all(threads)));
}

void parallel_for(std::size_t count, unsigned threads,
                  const std::function<void(std::size_t)>& body) {
  const std::size_t workers = std::min<std::size_t>(threads_or_all(threads), count);
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_guard;
  const auto work = [&] {
    try {
      for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
        body(i);
      }
    } catch (...) {
      const std::lock_guard lock(failure_guard);
      failure = std::current_exception();
      next = count;
    }
  };
  std::vector<std::jthread> pool;
  try {
    for (std::size_t i = 1; i < workers; ++i) {
      pool.emplace_back(work);
    }
  } catch (const std::system_error&) {
    // The system gives no more threads: the ones there are do the work.
  }
  work();
  pool.clear();
  if (failure) {
    std::rethrow_exception(failure);
  }
}

} // namespace mla_scale
