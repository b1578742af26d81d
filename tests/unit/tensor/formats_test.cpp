#include "capture_files.hpp"

using namespace mla_scale;
using namespace mla_scale::tensor;
using namespace capture_files;

namespace {

/// Element i of tensor number n of make.py.
double expected(std::int64_t n, std::int64_t i) {
  return static_cast<double>((i * 7 + n * 5) % 31 - 15) / 8;
}

/// True when every element of a [T, H, D] tensor is as the formula says, for C order of its shape.
bool follows(const View3& view, std::int64_t n) {
  for (std::int64_t t = 0; t < view.tokens; ++t) {
    for (std::int64_t h = 0; h < view.heads; ++h) {
      for (std::int64_t d = 0; d < view.width; ++d) {
        if (view.at(t, h, d) != expected(n, (t * view.heads + h) * view.width + d)) {
          return false;
        }
      }
    }
  }
  return true;
}

void check_all(const Capture& capture) {
  CHECK(capture.level == "expanded+latent");
  CHECK(capture.missing.empty());
  CHECK(capture.heads == 2);
  CHECK(capture.query_rows == 4);
  CHECK(capture.key_rows == 6);
  CHECK(follows(*capture.q, 0));
  CHECK(follows(*capture.k, 1));
  CHECK(follows(*capture.v, 2));
  CHECK(follows(*capture.kv_c, 3));
  CHECK(follows(*capture.k_pe, 4));
  CHECK(follows(*capture.out, 6));
  // kv_b_proj is [H * (nope + v), rank]: head 1, v row 2 is row 7 + 4 + 2.
  CHECK(capture.w_uk->at(3, 1, 5) == expected(5, (7 + 3) * 8 + 5));
  CHECK(capture.w_uv->at(2, 1, 5) == expected(5, (7 + 4 + 2) * 8 + 5));
  // lse is [H, T].
  CHECK(capture.lse->at(3, 1, 0) == expected(7, 1 * 4 + 3));
}

} // namespace

TEST_CASE("An npz of numpy.savez is read in place") {
  const auto capture = read_capture({k_formats / "stored.npz"}, k_tiny);
  REQUIRE(capture.has_value());
  check_all(*capture);
  CHECK_FALSE(capture->declared_softmax_scale.has_value());
  CHECK(capture->lse_base == LseBase::natural);
}

TEST_CASE("An npz of numpy.savez_compressed is inflated, its scalars and strings are understood") {
  const auto capture = read_capture({k_formats / "deflated.npz"}, k_tiny);
  REQUIRE(capture.has_value());
  check_all(*capture);
  CHECK(capture->declared_softmax_scale == 0.125);
  CHECK(capture->lse_base == LseBase::two);
}

TEST_CASE("A directory of npy files: big endian, Fortran order, versions 1 to 3") {
  for (const char* version : {"lse.v2.npy", "lse.v3.npy"}) {
    const TempDir directory;
    std::filesystem::copy(k_formats / "q.npy", directory / "q.npy");
    std::filesystem::copy(k_formats / "out.npy", directory / "out.npy");
    std::filesystem::copy(k_formats / version, directory / "lse.npy");
    REQUIRE(write_file(directory / "notes.txt", "not a tensor").has_value());
    const auto capture = read_capture({directory.path()}, k_tiny);
    REQUIRE(capture.has_value());
    CHECK(capture->files.size() == 3);
    CHECK(follows(*capture->q, 0));
    CHECK(follows(*capture->out, 6));
    CHECK(capture->lse->at(3, 1, 0) == expected(7, 1 * 4 + 3));
    CHECK(capture->level == "none");
    CHECK(capture->missing == std::vector<std::string>{"k", "v"});
  }
}

TEST_CASE("A torch file of nested dicts with strided tensors, shared storage and a parameter") {
  const auto capture = read_capture({k_formats / "nested.pt"}, k_tiny);
  REQUIRE(capture.has_value());
  check_all(*capture);
  CHECK(capture->declared_softmax_scale == 0.125);
  CHECK(capture->tensors.front().name == "inputs.kv_c");
}

TEST_CASE("A torch file of a bare tensor takes the file's name") {
  const auto capture = read_capture({k_formats / "out.pt"}, k_tiny);
  INFO((capture ? std::string() : to_string(capture.error())));
  REQUIRE(capture.has_value());
  REQUIRE(capture->tensors.size() == 1);
  CHECK(capture->tensors[0].name == "out");
  CHECK(follows(*capture->out, 6));
}

TEST_CASE("A torch file of float8 is multiplied by its scale") {
  const auto capture = read_capture({k_formats / "fp8.pth"}, k_tiny);
  REQUIRE(capture.has_value());
  CHECK(capture->q->tensor->dtype == Dtype::f8_e4m3fn);
  CHECK(capture->q->at(3, 1, 2) == expected(0, (3 * 2 + 1) * 6 + 2) / 2);
}

TEST_CASE("A tensor that two files hold is an error that names both") {
  const auto capture = read_capture({k_formats / "stored.npz", k_formats / "out.npy"}, k_tiny);
  REQUIRE_FALSE(capture.has_value());
  CHECK(capture.error().kind == ErrorKind::schema);
  CHECK(capture.error().pointer == "out");
  CHECK(capture.error().path.find("out.npy") != std::string::npos);
  CHECK(capture.error().message.find("stored.npz") != std::string::npos);
}

TEST_CASE("The same file given twice counts once") {
  const auto capture =
      read_capture({k_formats / "stored.npz", k_formats / "." / "stored.npz"}, k_tiny);
  REQUIRE(capture.has_value());
  CHECK(capture->files.size() == 1);
}
