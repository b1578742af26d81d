// The whole way of a capture: bytes choose names, element types and shapes near the widths of a
// small model, so that layouts, aliases, batches and slices of heads meet.

#include "promise.hpp"
#include "targets.hpp"

#include <mla_scale/tensor/capture.hpp>
#include <mla_scale/tensor/safetensors_writer.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

using namespace mla_scale;

namespace {

constexpr tensor::Geometry k_geometry = {4, 8, 6, 2, 6};

constexpr const char* k_names[] = {"q",           "query",         "k",
                                   "v",           "kv_c",          "latent",
                                   "k_pe",        "kv_b_proj",     "w_uk",
                                   "w_uv",        "q_nope",        "q_pe",
                                   "q_pre",       "k_pe_pre",      "positions_q",
                                   "positions_k", "positions",     "out",
                                   "attn_output", "lse",           "lse_base",
                                   "cu_seqlens",  "cu_seqlens_q",  "cu_seqlens_k",
                                   "kv_indptr",   "softmax_scale", "q_scale",
                                   "k_scale",     "v_scale",       "kv_scale",
                                   "k_pe_scale",  "out_scale",     "kv_b_proj_scale",
                                   "w_uk_scale",  "something_else"};

struct Type {
  const char* name;
  std::size_t size;
};
constexpr Type k_types[] = {{"BF16", 2}, {"F32", 4},     {"F16", 2},     {"F64", 8}, {"I32", 4},
                            {"I64", 8},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U8", 1},  {"BOOL", 1}};

/// Extents that mean something to the geometry, and some that do not.
constexpr std::int64_t k_extents[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 48, 0, 32, 24, 64, 7};

class Bytes {
public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : m_bytes(bytes) {}
  std::uint8_t next() {
    if (m_bytes.empty()) {
      return 0;
    }
    const std::uint8_t byte = m_bytes.front();
    m_bytes = m_bytes.subspan(1);
    return byte;
  }
  [[nodiscard]] bool empty() const { return m_bytes.empty(); }

private:
  std::span<const std::uint8_t> m_bytes;
};

/// A well-formed safetensors file: the reader of the format is another target.
std::string file_from(Bytes& bytes) {
  std::string header =
      R"({"__metadata__":{"lse_base":")" + std::to_string(bytes.next() % 4) + "\"}";
  std::string data;
  std::string used(std::size(k_names), '.');
  for (int tensors = 0; tensors < 12 && !bytes.empty(); ++tensors) {
    const std::size_t name = bytes.next() % std::size(k_names);
    const Type& type = k_types[bytes.next() % std::size(k_types)];
    const std::uint8_t rank = bytes.next() % 5;
    std::string shape;
    std::size_t count = 1;
    for (int axis = 0; axis < rank; ++axis) {
      const std::int64_t extent = k_extents[bytes.next() % std::size(k_extents)];
      count *= static_cast<std::size_t>(extent);
      shape += (shape.empty() ? "" : ",") + std::to_string(extent);
    }
    if (used[name] == 'x' || count > 65536) {
      continue;
    }
    used[name] = 'x';
    const std::size_t begin = data.size();
    const std::uint8_t first = bytes.next();
    const std::uint8_t step = bytes.next();
    for (std::size_t i = 0; i < count; ++i) {
      // Small integers as they are; anything at all in the bytes of a floating number.
      for (std::size_t j = 0; j < type.size; ++j) {
        const std::size_t value = first + step * i;
        data += static_cast<char>(type.name[0] == 'I' ? (j == 0 ? value : 0) : value * (j + 1));
      }
    }
    header += std::string(",\"") + k_names[name] + R"(":{"dtype":")" + type.name + R"(","shape":[)"
              + shape + "],\"data_offsets\":[" + std::to_string(begin) + ","
              + std::to_string(data.size()) + "]}";
  }
  header += "}";
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) {
    file[i] = static_cast<char>(header.size() >> (8 * i) & 0xFFU);
  }
  return file + header + data;
}

/// The corners of a view, which every reader of it can reach.
void touch(const std::optional<tensor::View3>& view) {
  if (!view || view->tokens == 0 || view->heads == 0 || view->width == 0) {
    return;
  }
  for (const std::int64_t token : {std::int64_t{0}, view->tokens / 2, view->tokens - 1}) {
    for (const std::int64_t head : {std::int64_t{0}, view->heads - 1}) {
      static_cast<void>(view->at(token, head, 0));
      static_cast<void>(view->at(token, head, view->width - 1));
    }
  }
  static_cast<void>(tensor::effective_dtype(*view));
}

void check_sequences(const tensor::Capture& capture) {
  for (const tensor::Sequence& sequence : capture.sequences) {
    promise(0 <= sequence.query_begin && sequence.query_begin <= sequence.query_end
                && sequence.query_end <= capture.query_rows && 0 <= sequence.key_begin
                && sequence.key_begin <= sequence.key_end && sequence.key_end <= capture.key_rows,
            "sequences lie inside the rows");
  }
}

/// A path in memory with an extension, which decides the format.
const std::filesystem::path& capture_path() {
  static const std::filesystem::path path = [] {
    const bool shared_memory = std::filesystem::is_directory("/dev/shm");
    return std::filesystem::path(shared_memory ? "/dev/shm" : "/tmp")
           / ("mla-scale-fuzz-" + std::to_string(::getpid()) + ".safetensors");
  }();
  static const int registered = std::atexit([] { ::unlink(capture_path().c_str()); });
  static_cast<void>(registered);
  return path;
}

} // namespace

void fuzz_capture(std::span<const std::uint8_t> input) {
  Bytes bytes(input);
  constexpr const char* k_layouts[] = {"", "", "thd", "bthd", "bhtd"};
  tensor::CaptureOptions options;
  options.layout = k_layouts[bytes.next() % std::size(k_layouts)];
  std::ofstream(capture_path(), std::ios::binary) << file_from(bytes);
  const auto capture = tensor::read_capture({capture_path()}, k_geometry, options);
  if (!capture) {
    promise(!to_string(capture.error()).empty(), "an error says what is wrong");
    return;
  }
  for (const auto* view : {&capture->q, &capture->k, &capture->v, &capture->kv_c, &capture->k_pe,
                           &capture->w_uk, &capture->w_uv, &capture->q_pre, &capture->k_pe_pre,
                           &capture->out, &capture->out_padding, &capture->lse}) {
    touch(*view);
  }
  check_sequences(*capture);
  promise(!capture->q || capture->q->tokens == capture->query_rows, "q has the query rows");
  promise(!capture->out || !capture->q || capture->out->tokens == capture->q->tokens,
          "out has the rows of q");
  promise(!capture->k || capture->k->tokens == capture->key_rows, "k has the key rows");
}
