// The pickle of a torch file, packed into an archive here: a fuzzer would not find the CRC and the
// offsets of a zip archive again after each change.

#include "input_file.hpp"
#include "targets.hpp"
#include "tensors.hpp"

#include <mla_scale/tensor/torch_zip.hpp>

#include <string>
#include <vector>

namespace {

std::string number(std::size_t value, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) {
    bytes += static_cast<char>(value >> (8 * i) & 0xFFU);
  }
  return bytes;
}

struct Entry {
  std::string name;
  std::string content;
};

/// A zip archive of uncompressed entries (APPNOTE.TXT 4.3), whose CRCs nobody looks at.
std::string stored(const std::vector<Entry>& entries) {
  std::string archive;
  std::string directory;
  for (const Entry& entry : entries) {
    const std::string common = number(0, 2) + number(0, 2) + number(0, 4) + number(0, 4)
                               + number(entry.content.size(), 4) + number(entry.content.size(), 4)
                               + number(entry.name.size(), 2) + number(0, 2);
    directory += "PK\x01\x02" + number(20, 2) + number(20, 2) + common + number(0, 4) + number(0, 6)
                 + number(archive.size(), 4) + entry.name;
    archive += "PK\x03\x04" + number(20, 2) + common + entry.name + entry.content;
  }
  return archive + directory + "PK\x05\x06" + number(0, 4) + number(entries.size(), 2)
         + number(entries.size(), 2) + number(directory.size(), 4) + number(archive.size(), 4)
         + number(0, 2);
}

} // namespace

void fuzz_pickle(std::span<const std::uint8_t> bytes) {
  std::vector<Entry> entries = {{"a/data.pkl", std::string(bytes.begin(), bytes.end())}};
  for (std::size_t i = 0; i < 7; ++i) {
    entries.push_back(
        {"a/data/" + std::to_string(i), std::string(std::size_t{64} << i % 4, '\x3F')});
  }
  const std::string archive = stored(entries);
  const InputFile file({reinterpret_cast<const std::uint8_t*>(archive.data()), archive.size()});
  touch(mla_scale::tensor::read_torch_zip(*mla_scale::tensor::MappedFile::open(file.path())));
}
