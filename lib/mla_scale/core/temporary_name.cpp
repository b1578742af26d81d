#include <mla_scale/core/temporary_name.hpp>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include <unistd.h>

namespace mla_scale {
namespace {

constexpr std::size_t k_longest = 4096; // PATH_MAX of Linux
constexpr int k_slots = 16;             // more files than a program writes at once

/// A handler can read these whenever it comes: a path is complete while its slot is in use.
struct Slot {
  std::atomic<bool> taken = false;
  std::atomic<bool> complete = false;
  char path[k_longest] = {};
};
Slot g_slots[k_slots];

} // namespace

TemporaryName::TemporaryName(const std::filesystem::path& path) {
  const std::string& name = path.native();
  if (name.size() >= k_longest) {
    return;
  }
  for (int i = 0; i < k_slots; ++i) {
    Slot& slot = g_slots[i];
    if (!slot.taken.exchange(true)) {
      std::memcpy(slot.path, name.c_str(), name.size() + 1);
      slot.complete = true;
      m_slot = i;
      return;
    }
  }
}

TemporaryName::TemporaryName(TemporaryName&& other) noexcept
    : m_slot(std::exchange(other.m_slot, -1)) {}

TemporaryName& TemporaryName::operator=(TemporaryName&& other) noexcept {
  std::swap(m_slot, other.m_slot);
  return *this;
}

TemporaryName::~TemporaryName() {
  if (m_slot >= 0) {
    g_slots[m_slot].complete = false;
    g_slots[m_slot].taken = false;
  }
}

void remove_temporary_files() noexcept {
  for (Slot& slot : g_slots) {
    if (slot.complete) {
      ::unlink(slot.path);
    }
  }
}

} // namespace mla_scale
