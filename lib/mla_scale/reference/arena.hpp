#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace mla_scale::reference {

/// Zeroed memory for all buffers of one worker: aligned for vectors, on large pages where the
/// system has them, since the first touch of many small pages costs more than the computation.
class Arena {
public:
  Arena() = default;
  explicit Arena(std::size_t bytes);

  static constexpr std::size_t k_alignment = 64;

  /// What `count` elements take from an arena.
  template <typename T>
  [[nodiscard]] static constexpr std::size_t bytes_for(std::int64_t count) {
    return (static_cast<std::size_t>(count) * sizeof(T) + k_alignment - 1) / k_alignment
           * k_alignment;
  }

  /// \pre the arena has as many bytes left
  template <typename T>
  [[nodiscard]] T* take(std::int64_t count) {
    T* const taken = static_cast<T*>(static_cast<void*>(m_bytes.get() + m_taken));
    m_taken += bytes_for<T>(count);
    return taken;
  }

private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Free> m_bytes;
  std::size_t m_taken = 0;
};

/// Asks for large pages for memory that is about to be touched. A wish: nothing happens where the
/// system has none.
void prefer_large_pages(void* data, std::size_t bytes);

} // namespace mla_scale::reference
