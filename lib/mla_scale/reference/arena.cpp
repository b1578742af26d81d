#include <mla_scale/reference/arena.hpp>

#include <sys/mman.h>

namespace mla_scale::reference {
namespace {

constexpr std::size_t k_large_page = std::size_t{2} << 20U;

} // namespace

Arena::Arena(std::size_t bytes) {
  const std::size_t alignment = bytes < k_large_page ? k_alignment : k_large_page;
  const std::size_t size = (bytes + alignment) / alignment * alignment; // never nothing
  m_bytes.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, size)));
  if (m_bytes == nullptr) {
    throw std::bad_alloc();
  }
  prefer_large_pages(m_bytes.get(), size);
  std::memset(m_bytes.get(), 0, size);
}

void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
  void* aligned = data;
  std::size_t left = bytes;
  if (std::align(k_large_page, k_large_page, aligned, left) != nullptr) {
    // The last page may hold other data: only whole pages are asked for.
    static_cast<void>(::madvise(aligned, left / k_large_page * k_large_page, MADV_HUGEPAGE));
  }
#endif
}

} // namespace mla_scale::reference
