#include "element.hpp"

#include <mla_scale/tensor/npy.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace mla_scale::tensor {
namespace {

struct TypeCode {
  std::string_view code; ///< descr without its byte order
  Dtype dtype;
};

/// V2 is what ml_dtypes' bfloat16 is saved as: NumPy has no such type of its own.
constexpr std::array<TypeCode, 15> k_codes = {{
    {"f8", Dtype::f64},
    {"f4", Dtype::f32},
    {"f2", Dtype::f16},
    {"V2", Dtype::bf16},
    {"bfloat16", Dtype::bf16},
    {"i8", Dtype::i64},
    {"i4", Dtype::i32},
    {"i2", Dtype::i16},
    {"i1", Dtype::i8},
    {"u8", Dtype::u64},
    {"u4", Dtype::u32},
    {"u2", Dtype::u16},
    {"u1", Dtype::u8},
    {"b1", Dtype::boolean},
    {"?", Dtype::boolean},
}};

/// The dict of a header, for example {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class DictParser {
public:
  explicit DictParser(std::string_view text) : m_text(text) {}

  bool parse(NpyHeader& header) {
    bool descr = false;
    bool order = false;
    bool shape = false;
    if (!take('{')) {
      return false;
    }
    while (!take('}')) {
      std::string key;
      if (!string(key) || !take(':')) {
        return false;
      }
      bool* seen = key == "descr"           ? &descr
                   : key == "fortran_order" ? &order
                   : key == "shape"         ? &shape
                                            : nullptr;
      if (seen == nullptr || *seen) {
        return false;
      }
      *seen = true;
      const bool read = key == "descr"           ? type(header.descr)
                        : key == "fortran_order" ? boolean(header.fortran_order)
                                                 : tuple(header.shape);
      if (!read || (!take(',') && !next_is('}'))) {
        return false;
      }
    }
    space();
    return descr && order && shape && m_at == m_text.size();
  }

private:
  void space() {
    while (m_at < m_text.size() && (m_text[m_at] == ' ' || m_text[m_at] == '\n')) {
      ++m_at;
    }
  }

  bool next_is(char c) {
    space();
    return m_at < m_text.size() && m_text[m_at] == c;
  }

  bool take(char c) {
    const bool there = next_is(c);
    m_at += there ? 1 : 0;
    return there;
  }

  bool string(std::string& value) {
    space();
    if (m_at >= m_text.size() || (m_text[m_at] != '\'' && m_text[m_at] != '"')) {
      return false;
    }
    const char quote = m_text[m_at++];
    const std::size_t end = m_text.find(quote, m_at);
    if (end == std::string_view::npos) {
      return false;
    }
    value = m_text.substr(m_at, end - m_at);
    m_at = end + 1;
    return value.find('\\') == std::string::npos;
  }

  /// A string; a list describes a structure, which is kept as its text.
  bool type(std::string& value) {
    if (!next_is('[')) {
      return string(value);
    }
    const std::size_t end = m_text.rfind(']');
    if (end == std::string_view::npos || end < m_at) {
      return false;
    }
    value = m_text.substr(m_at, end + 1 - m_at);
    m_at = end + 1;
    return true;
  }

  bool boolean(bool& value) {
    space();
    for (const auto& [word, meaning] : {std::pair("True", true), std::pair("False", false)}) {
      if (m_text.substr(m_at).starts_with(word)) {
        m_at += std::string_view(word).size();
        value = meaning;
        return true;
      }
    }
    return false;
  }

  bool tuple(std::vector<std::int64_t>& values) {
    if (!take('(')) {
      return false;
    }
    while (!take(')')) {
      space();
      std::int64_t value = 0;
      const auto [end, code] =
          std::from_chars(m_text.data() + m_at, m_text.data() + m_text.size(), value);
      if (code != std::errc() || value < 0 || values.size() >= 32) {
        return false;
      }
      m_at = static_cast<std::size_t>(end - m_text.data());
      take('L'); // NumPy under Python 2 wrote long integers
      values.push_back(value);
      if (!take(',') && !next_is(')')) {
        return false;
      }
    }
    return true;
  }

  std::string_view m_text;
  std::size_t m_at = 0;
};

/// Fills dtype, byte order and element size from descr.
void interpret_descr(NpyHeader& header) {
  std::string_view code = header.descr;
  if (!code.empty() && std::string_view("<>=|").find(code.front()) != std::string_view::npos) {
    header.big_endian = code.front() == '>';
    code.remove_prefix(1);
  }
  const auto* known = std::ranges::find(k_codes, code, &TypeCode::code);
  if (known != k_codes.end()) {
    header.dtype = known->dtype;
    header.element_size = size_of(known->dtype);
    return;
  }
  std::size_t count = 0;
  if (code.size() >= 2 && (code[0] == 'U' || code[0] == 'S')) {
    std::from_chars(code.data() + 1, code.data() + code.size(), count);
    header.element_size = count > 4096 ? 0 : count * (code[0] == 'U' ? 4 : 1);
  }
}

/// A single string as UTF-8; characters outside ASCII become '?', since only keywords are looked
/// for.
std::string text_of(const NpyHeader& header, std::span<const std::byte> data) {
  const bool wide = header.descr.find('U') != std::string::npos;
  std::string text;
  for (std::size_t at = 0; at + (wide ? 4 : 1) <= data.size(); at += wide ? 4 : 1) {
    const std::uint32_t c = wide ? load_bits<std::uint32_t>(data.data() + at, header.big_endian)
                                 : std::to_integer<std::uint32_t>(data[at]);
    if (c == 0) {
      break;
    }
    text += c < 128 ? static_cast<char>(c) : '?';
  }
  return text;
}

} // namespace

Result<NpyHeader> parse_npy_header(std::span<const std::byte> head, const std::string& path,
                                   const std::string& name) {
  const auto error = [&](std::string message) {
    return Error{ErrorKind::syntax, std::move(message), path, name, {}};
  };
  constexpr std::string_view k_magic = "\x93NUMPY";
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (!text.starts_with(k_magic)) {
    return error("does not start with the magic bytes of .npy");
  }
  if (text.size() < 8) {
    return error("ends inside its .npy header: truncated");
  }
  const auto version = std::to_integer<int>(head[6]);
  if (version < 1 || version > 3) {
    return error(fmt::format("is .npy version {}; 1 to 3 are read", version));
  }
  const std::size_t prefix = version == 1 ? 10 : 12;
  if (text.size() < prefix) {
    return error("ends inside its .npy header: truncated");
  }
  const std::size_t length = version == 1 ? load_bits<std::uint16_t>(head.data() + 8, false)
                                          : load_bits<std::uint32_t>(head.data() + 8, false);
  if (length > k_max_npy_header) {
    return error(fmt::format("declares a header of {} bytes; at most {} are read", length,
                             k_max_npy_header));
  }
  if (length > text.size() - prefix) {
    return error(fmt::format("declares a header of {} bytes, but only {} follow", length,
                             text.size() - prefix));
  }
  NpyHeader header;
  header.data_offset = prefix + length;
  if (!DictParser(text.substr(prefix, length)).parse(header)) {
    return error("its header is no dict of descr, fortran_order and shape");
  }
  interpret_descr(header);
  return header;
}

Result<void> add_npy(TensorFile& file, const std::string& name, std::span<const std::byte> bytes,
                     std::shared_ptr<const void> owner) {
  const std::string path = file.path.string();
  const auto error = [&](std::string message) {
    return Error{ErrorKind::syntax, std::move(message), path, name, {}};
  };
  const Result<NpyHeader> header = parse_npy_header(bytes, path, name);
  if (!header) {
    return header.error();
  }
  const std::optional<std::int64_t> count = element_count_of(header->shape);
  if (!count) {
    return error(fmt::format("its shape {} has more elements than 64 bits count",
                             shape_text(header->shape)));
  }
  const std::span<const std::byte> data = bytes.subspan(header->data_offset);
  if (header->element_size > 0) {
    const auto size = static_cast<std::int64_t>(header->element_size);
    if (*count > INT64_MAX / size || static_cast<std::uint64_t>(*count * size) != data.size()) {
      return error(fmt::format("its shape {} of {} does not fit its {} bytes of data: truncated or "
                               "wrong",
                               shape_text(header->shape), header->descr, data.size()));
    }
  }
  if (!header->dtype) {
    if (header->element_size > 0 && *count == 1) {
      file.metadata.emplace(name, text_of(*header, data));
    } else {
      file.unread.push_back({name, header->descr.substr(0, 40), header->shape});
    }
    return {};
  }
  auto tensor = std::make_shared<Tensor>();
  tensor->name = name;
  tensor->file = path;
  tensor->dtype = *header->dtype;
  tensor->big_endian = header->big_endian;
  tensor->shape = header->shape;
  tensor->strides = dense_strides(header->shape, header->fortran_order);
  tensor->data = data.data();
  tensor->owner = std::move(owner);
  file.tensors.push_back(std::move(tensor));
  return {};
}

Result<TensorFile> read_npy(const std::shared_ptr<const MappedFile>& file) {
  TensorFile result;
  result.path = file->path();
  if (const Result<void> added = add_npy(result, file->path().stem().string(), file->bytes(), file);
      !added) {
    return added.error();
  }
  return result;
}

} // namespace mla_scale::tensor
