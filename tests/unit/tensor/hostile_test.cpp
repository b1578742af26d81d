#include "capture_files.hpp"

#include <mla_scale/tensor/tensor_file.hpp>

#include <sys/stat.h>

using namespace mla_scale;
using namespace mla_scale::tensor;
using namespace capture_files;

namespace {

Error error_of(const std::string& name, const std::string& content) {
  const TempDir directory;
  const auto capture = read(directory, name, content, k_tiny);
  REQUIRE_FALSE(capture.has_value());
  CHECK(capture.error().message.find('\n') == std::string::npos);
  return capture.error();
}

std::string tensor_header(const std::string& dtype, const std::string& shape,
                          const std::string& offsets) {
  return R"({"q":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets
         + "}}";
}

/// Touches every element, so that sanitizers see an access out of bounds.
double sum_of_elements(const TensorFile& file) {
  double sum = 0;
  for (const auto& tensor : file.tensors) {
    std::vector<std::int64_t> index(tensor->shape.size(), 0);
    for (std::int64_t i = tensor->element_count(); i > 0; --i) {
      sum += tensor->at(index);
      for (std::size_t axis = index.size(); axis-- > 0;) {
        if (++index[axis] < tensor->shape[axis]) {
          break;
        }
        index[axis] = 0;
      }
    }
  }
  return sum;
}

const std::vector<std::string> k_seeds = {"stored.npz", "deflated.npz", "q.npy",
                                          "nested.pt",  "out.pt",       "fp8.pth"};

std::string torch_file(const std::string& pickle, std::size_t storage_size = 16) {
  return stored_zip({{"a/data.pkl", pickle}, {"a/data/0", std::string(storage_size, '\0')}});
}

/// A pickle of one float tensor: dict-free, as torch.save(tensor) writes it.
std::string tensor_pickle(const std::string& offset, const std::string& size,
                          const std::string& stride) {
  return "\x80\x02"
         "ctorch._utils\n_rebuild_tensor_v2\n"
         "((X\x07"
         + std::string("\0\0\0storage", 10) + "ctorch\nFloatStorage\nX\x01"
         + std::string("\0\0\0", 3) + "0X\x03" + std::string("\0\0\0", 3) + "cpuK\x04tQ" + offset
         + size + stride + "\x89}tR.";
}

} // namespace

TEST_CASE("A safetensors header longer than the file is refused before memory is taken") {
  const Error error = error_of("a.safetensors", little_endian(std::uint64_t{1} << 60, 8) + "{}");
  CHECK(error.kind == ErrorKind::syntax);
  CHECK_THAT(error.message, Contains("declares a header of 1152921504606846976 bytes"));
}

TEST_CASE("Safetensors that lie about their data are refused with the tensor's name") {
  struct Case {
    std::string header;
    std::string says;
  };
  const Case cases[] = {
      {tensor_header("F32", "[4]", "[0,32]"), "past the end"},
      {tensor_header("F32", "[4]", "[16,0]"), "end before they begin"},
      {tensor_header("F32", "[4]", "[-16,0]"), "integers of at least 0"},
      {tensor_header("F32", "[4]", "[0,16,16]"), "two integers"},
      {tensor_header("F32", "[4]", "[0,18446744073709551615]"), "integers of at least 0"},
      {tensor_header("F32", "[-4]", "[0,16]"), "integers of at least 0"},
      {tensor_header("F32", "[4.0]", "[0,16]"), "integers of at least 0"},
      {tensor_header("F32", "[5]", "[0,16]"), "does not fill its 16 bytes"},
      {tensor_header("F32", "[4294967296,4294967296]", "[0,16]"), "more elements than 64 bits"},
      {tensor_header("F32", "[0,4294967296,4294967296]", "[0,16]"), "more elements than 64 bits"},
      {tensor_header("F32", "[4611686018427387908]", "[0,16]"), "does not fill"},
      {R"({"q":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("q2":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}})",
       "overlaps that of \"q\""},
      {R"({"q":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})", "belong to no tensor"},
      {R"({"q":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "belong to no tensor"},
      {R"({"q":{"shape":[4],"data_offsets":[0,16]}})", "no dtype"},
      {R"({"q":7})", "no JSON object"},
      {R"({"__metadata__":{"a":1}})", "no string"},
      {R"({"q":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("q":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
       "stands twice"},
      {"[]", "no JSON object"},
      {"{", "truncated"},
      {std::string(2000, '['), "deep"},
  };
  for (const Case& c : cases) {
    INFO(c.header);
    const Error error = error_of("a.safetensors", with_header(c.header, std::string(16, '\0')));
    CHECK(error.kind == ErrorKind::syntax);
    CHECK_THAT(error.message, Contains(c.says));
  }
  CHECK(error_of("a.safetensors", with_header(cases[0].header, "")).pointer == "q");
}

TEST_CASE("An element type that is not read is an error only for a tensor that is used") {
  const TempDir directory;
  const std::string data(4, '\0');
  CHECK(read(directory, "a.safetensors",
             with_header(R"({"thing":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}})", data),
             k_tiny)
            .has_value());
  const auto used = read(
      directory, "b.safetensors",
      with_header(R"({"q":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}})", data), k_tiny);
  REQUIRE_FALSE(used.has_value());
  CHECK(used.error().kind == ErrorKind::unsupported);
  CHECK(used.error().pointer == "q");
}

TEST_CASE("Npy headers that are no plain dict are refused") {
  const auto npy = [](const std::string& header, const std::string& data, char version = 1) {
    return "\x93NUMPY" + std::string(1, version) + std::string(1, '\0')
           + little_endian(header.size(), version == 1 ? 2 : 4) + header + data;
  };
  const std::string data(16, '\0');
  CHECK_THAT(error_of("q.npy", npy("{'descr': '<f4', 'shape': (4,)}", data)).message,
             Contains("no dict of descr"));
  CHECK_THAT(error_of("q.npy", npy("__import__('os').system('true')", data)).message,
             Contains("no dict of descr"));
  CHECK_THAT(
      error_of("q.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}", data))
          .message,
      Contains("no dict of descr"));
  CHECK_THAT(error_of("q.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}", data))
                 .message,
             Contains("does not fit its 16 bytes"));
  CHECK_THAT(error_of("q.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': "
                                   "(4294967296, 4294967296)}",
                                   data))
                 .message,
             Contains("more elements than 64 bits"));
  CHECK_THAT(
      error_of("q.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", data, 9))
          .message,
      Contains("version 9"));
  const Error object =
      error_of("q.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (4,)}", data));
  CHECK(object.kind == ErrorKind::unsupported);
  CHECK_THAT(object.message, Contains("|O"));
}

TEST_CASE("A pickle that would run code is refused by name and runs nothing") {
  const TempDir directory;
  const std::string target = (directory / "ran").string();
  const std::string pickle = "\x80\x02"
                             "cposix\nsystem\nX"
                             + little_endian(target.size() + 6, 4) + "touch " + target + "\x85R.";
  const Error error = error_of("q.pt", torch_file(pickle));
  CHECK(error.kind == ErrorKind::unsupported);
  CHECK_THAT(error.message, Contains("posix.system") && Contains("nothing was executed"));
  CHECK_FALSE(std::filesystem::exists(target));
}

TEST_CASE("Pickles that are no tensors are refused") {
  CHECK_THAT(error_of("q.pt", torch_file("\x80\x02(i__builtin__\neval\n.")).message,
             Contains("opcode 0x69"));
  CHECK_THAT(error_of("q.pt", torch_file("\x80\x02")).message, Contains("truncated"));
  CHECK_THAT(error_of("q.pt", torch_file("\x80\x02R.")).message, Contains("stack"));
  CHECK_THAT(error_of("q.pt", torch_file("\x80\x02h\x07.")).message, Contains("remember"));
  CHECK_THAT(error_of("q.pt", torch_file("\x80\x02X\xFF\xFF\xFF\xFF.")).message,
             Contains("truncated"));
  // A list that holds itself, and one nested a hundred thousand deep.
  CHECK_THAT(error_of("q.pt", torch_file("\x80\x02]q\x01h\x01"
                                         "a."))
                 .message,
             Contains("deep"));
  std::string deep = "\x80\x02" + std::string(100000, ']') + std::string(99999, 'a') + ".";
  CHECK_THAT(error_of("q.pt", torch_file(deep)).message, Contains("deep"));
  CHECK_THAT(error_of("q.pt", "\x80\x02\x8a\x0al\xfc\x9c"
                              "F\xf9 j\xa8P\x19.")
                 .message,
             Contains("before PyTorch 1.6"));
}

TEST_CASE("Torch tensors that reach outside their storage are refused") {
  const TempDir directory;
  // 4 floats in the storage: a 2 x 2 tensor fits, also transposed and from element 0 only.
  const std::string two_by_two = "K\x02K\x02\x86";
  CHECK(read(directory, "x.pt",
             torch_file(tensor_pickle(std::string("K\0", 2), two_by_two, "K\x01K\x02\x86")), k_tiny)
            .has_value());
  for (const std::string& pickle : {
           tensor_pickle("K\x01", two_by_two, "K\x02K\x01\x86"),
           tensor_pickle(std::string("K\0", 2), two_by_two, "K\x03K\x01\x86"),
           tensor_pickle("J\xFF\xFF\xFF\xFF", two_by_two, "K\x02K\x01\x86"),
           tensor_pickle(std::string("K\0", 2), two_by_two, "J\xFE\xFF\xFF\xFFK\x01\x86"),
           tensor_pickle(std::string("K\0", 2), "\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7FK\x02\x86",
                         std::string("K\0K\0\x86", 5)),
           tensor_pickle(std::string("K\0", 2), two_by_two,
                         "\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7FK\x02\x86"),
       }) {
    const Error error = error_of("x.pt", torch_file(pickle));
    CHECK(error.kind == ErrorKind::syntax);
    CHECK(error.pointer == "x");
  }
  CHECK_THAT(
      error_of("x.pt",
               torch_file(tensor_pickle(std::string("K\0", 2), two_by_two, "K\x02K\x01\x86"), 12))
          .message,
      Contains("declares 4 elements but data/0 holds 3"));
}

TEST_CASE("Strides of zero repeat a storage only so often") {
  const TempDir directory;
  const std::string zeros = std::string("K\0K\0\x86", 5);
  const std::string start = std::string("K\0", 2);
  CHECK(read(directory, "x.pt", torch_file(tensor_pickle(start, "K\x40K\x10\x86", zeros)), k_tiny)
            .has_value());
  const Error error =
      error_of("x.pt", torch_file(tensor_pickle(start, "J\xFF\xFF\xFF\x7FK\x10\x86", zeros)));
  CHECK_THAT(error.message, Contains("repeats its storage"));
}

TEST_CASE("A zip entry that declares more than its bytes can hold is refused") {
  // Patch the declared size of the first deflated entry, in the central directory.
  const auto content = read_file(k_formats / "deflated.npz", 1 << 20);
  REQUIRE(content.has_value());
  const std::size_t record = content->find("PK\x01\x02");
  for (const std::uint64_t size : {std::uint64_t{0x7FFFFFFF}, std::uint64_t{0xFFFFFFFE}}) {
    std::string patched = *content;
    patched.replace(record + 24, 4, little_endian(size, 4));
    const Error error = error_of("a.npz", patched);
    CHECK_THAT(error.message, Contains("cannot hold") || Contains("contradict"));
  }
}

TEST_CASE("Every truncation of every format is an error") {
  const TempDir directory;
  std::vector<std::pair<std::string, std::string>> seeds = {
      {"a.safetensors", safetensors({{"q", "F32", {4, 2, 6}, counting(48)}})}};
  for (const std::string& name : k_seeds) {
    seeds.emplace_back(name, read_file(k_formats / name, 1 << 20).value());
  }
  for (const auto& [name, content] : seeds) {
    const auto path = directory / name;
    write(path, content);
    for (std::size_t size = content.size(); size-- > 0;) {
      std::filesystem::resize_file(path, size);
      INFO(name << " cut to " << size << " bytes");
      REQUIRE_FALSE(read_tensor_file(path).has_value());
    }
  }
}

TEST_CASE("Every changed byte of every format is read or refused, never more") {
  const TempDir directory;
  std::vector<std::pair<std::string, std::string>> seeds = {
      {"a.safetensors", safetensors({{"q", "F32", {4, 2, 6}, counting(48)}})}};
  for (const std::string& name : k_seeds) {
    seeds.emplace_back(name, read_file(k_formats / name, 1 << 20).value());
  }
  int read_anyway = 0;
  for (const auto& [name, content] : seeds) {
    const auto path = directory / name;
    write(path, content);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    const auto put = [&](std::size_t at, char byte) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put(byte).flush();
    };
    for (std::size_t at = 0; at < content.size(); ++at) {
      // Small and large changes by turns: an odd bit of a length, and all of its bits.
      put(at, static_cast<char>(content[at] ^ (at % 2 == 0 ? 0x01 : 0xFF)));
      if (const auto tensors = read_tensor_file(path)) {
        const double sum = sum_of_elements(*tensors);
        read_anyway += sum == sum ? 1 : 0;
        static_cast<void>(read_capture({path}, k_tiny).has_value());
      }
      put(at, content[at]);
    }
  }
  CHECK(read_anyway > 0);
}

TEST_CASE("FIFOs, devices, missing files and empty directories are refused without waiting") {
  const TempDir directory;
  const std::string fifo = (directory / "q.npy").string();
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(read_capture({fifo}, k_tiny).error().kind == ErrorKind::unreadable);
  CHECK(read_capture({directory / "none.npy"}, k_tiny).error().kind == ErrorKind::not_found);
  std::filesystem::create_directory(directory / "empty");
  CHECK(read_capture({directory / "empty"}, k_tiny).error().kind == ErrorKind::not_found);
  std::filesystem::create_symlink("/dev/zero", directory / "zero.safetensors");
  CHECK(read_capture({directory / "zero.safetensors"}, k_tiny).error().kind
        == ErrorKind::unreadable);
}
