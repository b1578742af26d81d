#include "element.hpp"
#include "safetensors_dtype.hpp"

#include <mla_scale/json/document.hpp>
#include <mla_scale/tensor/safetensors.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

namespace mla_scale::tensor {
namespace {

struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::string name;
};

/// One file while it is read.
class Reader {
public:
  explicit Reader(const std::shared_ptr<const MappedFile>& file) : m_mapped(file) {
    m_file.path = file->path();
  }

  Result<TensorFile> read() {
    const std::span<const std::byte> bytes = m_mapped->bytes();
    if (bytes.size() < 8) {
      return error({},
                   fmt::format("has {} bytes: too short for a safetensors header", bytes.size()));
    }
    const auto length = load_bits<std::uint64_t>(bytes.data(), false);
    if (length > bytes.size() - 8) {
      return error({}, fmt::format("declares a header of {} bytes, but only {} follow", length,
                                   bytes.size() - 8));
    }
    if (length > k_max_safetensors_header) {
      return error({}, fmt::format("declares a header of {} bytes; at most {} are read", length,
                                   k_max_safetensors_header));
    }
    m_data = bytes.subspan(8 + length);
    const auto* text = reinterpret_cast<const char*>(bytes.data() + 8);
    json::Limits limits;
    limits.max_bytes = k_max_safetensors_header;
    limits.max_depth = 8;
    auto document =
        json::Document::parse(std::string(text, length), m_mapped->path().string(), limits);
    if (!document) {
      // No position: lines and columns mean nothing in a file of mostly binary data.
      return error({}, fmt::format("its header is no JSON that safetensors allows: {}",
                                   document.error().message));
    }
    const json::Value root = document->root();
    if (!root.is_object()) {
      return error({}, "its header is no JSON object");
    }
    for (std::optional<json::Value> entry = root.first(); entry; entry = entry->next()) {
      const Result<void> done =
          entry->key() == "__metadata__" ? read_metadata(*entry) : read_tensor(*entry);
      if (!done) {
        return done.error();
      }
    }
    if (const Result<void> covered = check_ranges(); !covered) {
      return covered.error();
    }
    return std::move(m_file);
  }

private:
  Error error(std::string_view name, std::string message) const {
    return Error{
        ErrorKind::syntax, std::move(message), m_mapped->path().string(), std::string(name), {}};
  }

  Result<void> read_metadata(const json::Value& metadata) {
    if (!metadata.is_object()) {
      return error("__metadata__", "is no JSON object");
    }
    for (std::optional<json::Value> entry = metadata.first(); entry; entry = entry->next()) {
      const Result<std::string_view> text = entry->as_string();
      if (!text) {
        return error("__metadata__", fmt::format("\"{}\" is no string", entry->key()));
      }
      m_file.metadata.emplace(entry->key(), *text);
    }
    return {};
  }

  /// A list of integers that are not negative.
  static std::optional<std::vector<std::int64_t>> integers(const std::optional<json::Value>& list) {
    if (!list || !list->is_array()) {
      return std::nullopt;
    }
    std::vector<std::int64_t> values;
    for (std::optional<json::Value> element = list->first(); element; element = element->next()) {
      const Result<std::int64_t> value = element->as_integer();
      if (!value || *value < 0) {
        return std::nullopt;
      }
      values.push_back(*value);
    }
    return values;
  }

  Result<void> read_tensor(const json::Value& entry) {
    const std::string_view name = entry.key();
    if (!entry.is_object()) {
      return error(name, "its entry is no JSON object");
    }
    const std::optional<json::Value> dtype_value = entry.find("dtype");
    const Result<std::string_view> dtype_name =
        dtype_value ? dtype_value->as_string() : Result<std::string_view>(Error{});
    const auto shape = integers(entry.find("shape"));
    const auto offsets = integers(entry.find("data_offsets"));
    if (!dtype_name) {
      return error(name, "has no dtype");
    }
    if (!shape) {
      return error(name, "its shape is no list of integers of at least 0 that fit 64 bits");
    }
    if (!offsets || offsets->size() != 2) {
      return error(name, "its data_offsets are no two integers of at least 0 that fit 64 bits");
    }
    const std::int64_t begin = (*offsets)[0];
    const std::int64_t end = (*offsets)[1];
    if (begin > end) {
      return error(name,
                   fmt::format("its data_offsets [{}, {}] end before they begin", begin, end));
    }
    if (static_cast<std::uint64_t>(end) > m_data.size()) {
      return error(name, fmt::format("its data_offsets [{}, {}] reach past the end of the data, "
                                     "which has {} bytes: truncated or wrong",
                                     begin, end, m_data.size()));
    }
    m_ranges.push_back({begin, end, std::string(name)});
    const std::optional<std::int64_t> count = element_count_of(*shape);
    if (!count) {
      return error(name, fmt::format("its shape {} has more elements than 64 bits count",
                                     shape_text(*shape)));
    }
    const auto* known = std::ranges::find(k_safetensors_dtypes, std::string_view(*dtype_name),
                                          &SafetensorsDtype::name);
    if (known == k_safetensors_dtypes.end()) {
      m_file.unread.push_back({std::string(name), std::string(*dtype_name), *shape});
      return {};
    }
    const auto size = static_cast<std::int64_t>(size_of(known->dtype));
    if (*count > INT64_MAX / size || *count * size != end - begin) {
      return error(name, fmt::format("its shape {} of {} does not fill its {} bytes of data",
                                     shape_text(*shape), *dtype_name, end - begin));
    }
    auto tensor = std::make_shared<Tensor>();
    tensor->name = name;
    tensor->file = m_mapped->path().string();
    tensor->dtype = known->dtype;
    tensor->shape = *shape;
    tensor->strides = dense_strides(*shape);
    tensor->data = m_data.data() + begin;
    tensor->owner = m_mapped;
    m_file.tensors.push_back(std::move(tensor));
    return {};
  }

  Result<void> check_ranges() {
    std::ranges::stable_sort(m_ranges, [](const Range& a, const Range& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    std::int64_t covered = 0;
    const std::string* previous = nullptr;
    for (const Range& range : m_ranges) {
      if (range.begin < covered) {
        return error(range.name, fmt::format("its data overlaps that of \"{}\"", *previous));
      }
      if (range.begin > covered) {
        return error(range.name, fmt::format("{} bytes before its data belong to no tensor",
                                             range.begin - covered));
      }
      covered = range.end;
      previous = &range.name;
    }
    if (static_cast<std::uint64_t>(covered) != m_data.size()) {
      return error({}, fmt::format("{} bytes at its end belong to no tensor",
                                   m_data.size() - static_cast<std::uint64_t>(covered)));
    }
    return {};
  }

  std::shared_ptr<const MappedFile> m_mapped;
  std::span<const std::byte> m_data;
  std::vector<Range> m_ranges;
  TensorFile m_file;
};

} // namespace

Result<TensorFile> read_safetensors(const std::shared_ptr<const MappedFile>& file) {
  return Reader(file).read();
}

} // namespace mla_scale::tensor
