#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

/// Writes float32 safetensors files for tests, by the format's own description: eight bytes of
/// header length, a JSON header, the data.
class SafetensorsFile {
public:
  void add(const std::string& name, const std::vector<std::int64_t>& shape,
           const std::vector<double>& values) {
    std::string extents;
    for (const std::int64_t extent : shape) {
      extents += (extents.empty() ? "" : ",") + std::to_string(extent);
    }
    const std::size_t first = m_data.size();
    for (const double value : values) {
      const auto single = static_cast<float>(value);
      char bytes[sizeof single];
      std::memcpy(bytes, &single, sizeof single);
      m_data.append(bytes, sizeof single);
    }
    m_header += (m_header.empty() ? "\"" : ",\"") + name + R"(":{"dtype":"F32","shape":[)" + extents
                + "],\"data_offsets\":[" + std::to_string(first) + ","
                + std::to_string(m_data.size()) + "]}";
  }

  void write(const std::filesystem::path& path) const {
    std::string header = "{" + m_header + "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    std::ofstream file(path, std::ios::binary);
    for (std::size_t i = 0; i < 8; ++i) {
      file.put(static_cast<char>((header.size() >> (8 * i)) & 0xFFU));
    }
    file << header << m_data;
  }

private:
  std::string m_header;
  std::string m_data;
};
