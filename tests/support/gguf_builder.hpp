#pragma once

#include <cstdint>
#include <cstring>
#include <string>

/// Writes GGUF metadata by hand, after ggml docs/gguf.md.
class GgufBuilder {
public:
  explicit GgufBuilder(std::uint32_t version = 3) : m_version(version) {}

  GgufBuilder& text(const std::string& key, const std::string& value) {
    return add(key, 8, sized(value));
  }
  GgufBuilder& u32(const std::string& key, std::uint32_t value) { return add(key, 4, raw(value)); }
  GgufBuilder& f32(const std::string& key, float value) { return add(key, 6, raw(value)); }
  GgufBuilder& strings(const std::string& key, std::size_t count) {
    std::string body = raw(std::uint32_t{8}) + raw(std::uint64_t{count});
    for (std::size_t i = 0; i < count; ++i) {
      body += sized("token");
    }
    return add(key, 9, body);
  }

  [[nodiscard]] std::string bytes() const {
    return "GGUF" + raw(m_version) + raw(std::uint64_t{0}) + raw(m_count) + m_body;
  }

private:
  template <typename T>
  static std::string raw(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::string sized(const std::string& value) {
    return raw(std::uint64_t{value.size()}) + value;
  }
  GgufBuilder& add(const std::string& key, std::uint32_t type, const std::string& value) {
    m_body += sized(key) + raw(type) + value;
    ++m_count;
    return *this;
  }

  std::uint32_t m_version;
  std::uint64_t m_count = 0;
  std::string m_body;
};
