#include "safetensors_dtype.hpp"

#include <mla_scale/json/writer.hpp>
#include <mla_scale/tensor/safetensors_writer.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace mla_scale::tensor {

Result<SafetensorsWriter>
SafetensorsWriter::create(const std::filesystem::path& path, const std::vector<TensorPlan>& tensors,
                          const std::map<std::string, std::string>& metadata) {
  const auto unusable = [&](const TensorPlan& tensor, std::string message) {
    return Error{ErrorKind::usage, std::move(message), path.string(), tensor.name, {}};
  };
  json::Writer header;
  header.begin_object();
  if (!metadata.empty()) {
    header.key("__metadata__").begin_object();
    for (const auto& [key, value] : metadata) {
      header.member(key, value);
    }
    header.end_object();
  }
  std::vector<Place> places;
  std::set<std::string> names;
  std::uint64_t at = 0;
  for (const TensorPlan& tensor : tensors) {
    const std::optional<std::int64_t> count = element_count_of(tensor.shape);
    const auto* type =
        std::ranges::find(k_safetensors_dtypes, tensor.dtype, &SafetensorsDtype::dtype);
    const std::uint64_t size = size_of(tensor.dtype);
    // A quarter of what 64 bits hold: no sum of such sizes overflows before the limit is seen.
    if (!count || static_cast<std::uint64_t>(*count) > (std::uint64_t{1} << 60) / size
        || at > std::uint64_t{1} << 62) {
      return unusable(tensor, fmt::format("its shape {} is too large", shape_text(tensor.shape)));
    }
    if (!names.insert(tensor.name).second || tensor.name == "__metadata__") {
      return unusable(tensor, "this name cannot be used twice or is reserved");
    }
    places.push_back({at, at + static_cast<std::uint64_t>(*count) * size, size});
    at = places.back().end;
    header.key(tensor.name).begin_object();
    header.member("dtype", type->name);
    header.key("shape").begin_array();
    for (const std::int64_t extent : tensor.shape) {
      header.value(extent);
    }
    header.end_array();
    header.key("data_offsets").begin_array();
    header.value(places.back().begin).value(places.back().end);
    header.end_array().end_object();
  }
  header.end_object();
  std::string text = header.finish();
  text.resize((text.size() + 7) / 8 * 8, ' '); // data starts aligned, as other writers do
  const std::uint64_t data = 8 + text.size();
  Result<AtomicFile> file = AtomicFile::create(path, data + at);
  if (!file) {
    return file.error();
  }
  std::string head;
  for (unsigned i = 0; i < 8; ++i) {
    head += static_cast<char>(text.size() >> (8 * i) & 0xFFU);
  }
  head += text;
  if (auto done = file->write_at(0, std::as_bytes(std::span(head))); !done) {
    return done.error();
  }
  for (Place& place : places) {
    place.begin += data;
    place.end += data;
  }
  return SafetensorsWriter(std::move(*file), std::move(places));
}

Result<void> SafetensorsWriter::write(std::size_t tensor, std::int64_t first,
                                      std::span<const std::byte> bytes) const {
  const Place& place = m_places.at(tensor);
  const std::uint64_t at = place.begin + static_cast<std::uint64_t>(first) * place.element_size;
  if (first < 0 || at > place.end || bytes.size() > place.end - at) {
    return Error{ErrorKind::internal, "writes past the end of a planned tensor", {}, {}, {}};
  }
  return m_file.write_at(at, bytes);
}

} // namespace mla_scale::tensor
