#include "capture_files.hpp"

#include <mla_scale/tensor/safetensors_writer.hpp>
#include <mla_scale/tensor/sampling/generator.hpp>
#include <mla_scale/tensor/sampling/rounding.hpp>
#include <mla_scale/tensor/sampling/sample.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::tensor;
using namespace mla_scale::tensor::sampling;

namespace {

/// The parameters of testdata/captures/sample/make.py.
SampleParameters small_sample() {
  SampleParameters parameters;
  parameters.geometry = {4, 8, 4, 4, 3};
  parameters.heads = 2;
  parameters.seq_len = 3;
  parameters.prefix_len = 2;
  parameters.seed = 42;
  parameters.softmax_scale = 0.4;
  parameters.inverse_frequencies = {1.0, 0.25};
  parameters.cos_sin_factor = 1.5;
  return parameters;
}

std::vector<double> elements(const TensorFile& file, const std::string& name) {
  for (const auto& tensor : file.tensors) {
    if (tensor->name == name) {
      // The files of these tests hold dense tensors in C order.
      std::vector<double> values;
      Tensor flat = *tensor;
      flat.shape = {tensor->element_count()};
      flat.strides = {1};
      for (std::int64_t i = 0; i < flat.shape[0]; ++i) {
        values.push_back(flat.at(std::vector<std::int64_t>{i}));
      }
      return values;
    }
  }
  FAIL("no tensor " << name);
  return {};
}

std::string sample_bytes(const SampleParameters& parameters) {
  const TempDir directory;
  const auto written = write_sample(parameters, directory / "sample.safetensors");
  REQUIRE(written.has_value());
  return read_file(directory / "sample.safetensors", std::size_t{1} << 26).value();
}

} // namespace

TEST_CASE("NumPy reproduces every number of a sample from the documented formulas") {
  struct Case {
    const char* file;
    Dtype dtype;
    Distribution distribution;
    bool interleaved;
  };
  for (const Case& c : {Case{"bf16.npz", Dtype::bf16, Distribution::realistic, true},
                        Case{"fp16.npz", Dtype::f16, Distribution::realistic, false},
                        Case{"fp32.npz", Dtype::f32, Distribution::flat, true}}) {
    INFO(c.file);
    SampleParameters parameters = small_sample();
    parameters.dtype = c.dtype;
    parameters.distribution = c.distribution;
    parameters.interleaved = c.interleaved;
    const TempDir directory;
    REQUIRE(write_sample(parameters, directory / "sample.safetensors").has_value());
    const auto sample = read_tensor_file(directory / "sample.safetensors");
    const auto expected =
        read_tensor_file(std::filesystem::path(TESTDATA) / "captures/sample" / c.file);
    REQUIRE(sample.has_value());
    REQUIRE(expected.has_value());
    REQUIRE(expected->tensors.size() == 10);
    CHECK(sample->tensors.size() == 10);
    for (const auto& tensor : expected->tensors) {
      INFO(tensor->name);
      CHECK(elements(*sample, tensor->name) == elements(*expected, tensor->name));
    }
    CHECK(sample->metadata.at("seed") == "42");
  }
}

TEST_CASE("The thread count and an existing file never change a sample's bytes") {
  SampleParameters parameters = small_sample();
  parameters.geometry = {16, 32, 16, 8, 16};
  parameters.heads = 16;
  parameters.seq_len = 100;
  parameters.prefix_len = 33;
  parameters.inverse_frequencies = {1.0, 0.1, 0.01, 0.001};
  const std::string one = sample_bytes(parameters);
  for (const unsigned threads : {2U, 3U, 16U}) {
    parameters.threads = threads;
    CHECK(sample_bytes(parameters) == one);
  }
  parameters.seed = 43;
  CHECK(sample_bytes(parameters) != one);
}

TEST_CASE("A sample is a capture of both levels that agree, with spread-out logits") {
  SampleParameters parameters;
  parameters.geometry = {16, 64, 32, 16, 32};
  parameters.heads = 4;
  parameters.seq_len = 150;
  parameters.prefix_len = 50;
  parameters.softmax_scale = 0.2;
  parameters.inverse_frequencies = std::vector<double>(8, 0.5);
  const TempDir directory;
  const auto path = directory / "sample.safetensors";
  REQUIRE(write_sample(parameters, path).has_value());
  const auto capture = read_capture({path}, parameters.geometry);
  REQUIRE(capture.has_value());
  CHECK(capture->level == "expanded+latent");
  CHECK(capture->missing == std::vector<std::string>{"out"});
  CHECK(capture->positions_q.front() == 50);
  CHECK_FALSE(capture->declared_softmax_scale.has_value());
  CHECK(capture->q_pre.has_value());
  // Rows of the third and fourth chunk of 64 tokens: the expanded level is the latent one, rounded.
  for (const std::int64_t token : {std::int64_t{130}, std::int64_t{199}}) {
    for (std::int64_t d = 0; d < 32; ++d) {
      double key = 0;
      double value = 0;
      for (std::int64_t l = 0; l < 64; ++l) {
        key += capture->w_uk->at(d, 3, l) * capture->kv_c->at(token, 0, l);
        value += capture->w_uv->at(d, 3, l) * capture->kv_c->at(token, 0, l);
      }
      CHECK(capture->k->at(token, 3, d) == Approx(key).epsilon(0.004).margin(1e-12));
      CHECK(capture->v->at(token, 3, d) == Approx(value).epsilon(0.004).margin(1e-12));
    }
    CHECK(capture->k->at(token, 3, 40) == capture->k_pe->at(token, 0, 8));
  }
  double sum = 0;
  double squares = 0;
  double sink = 0;
  double own = 0;
  double count = 0;
  for (std::int64_t i = 0; i < 150; ++i) {
    for (std::int64_t j = 0; j < 200; ++j) {
      double logit = 0;
      for (std::int64_t d = 0; d < 48; ++d) {
        logit += 0.2 * capture->q->at(i, 1, d) * capture->k->at(j, 1, d);
      }
      if (j == 0) {
        sink += logit / 150;
      } else if (j == i + 50) {
        own += logit / 150;
      } else {
        sum += logit;
        squares += logit * logit;
        count += 1;
      }
    }
  }
  // Head 1 of 4 has a gain of 3/4 + 1/6: 1.6 * 0.917 = 1.47, the sink spreads it a little more.
  const double spread = std::sqrt(squares / count - sum * sum / count / count);
  CHECK(spread == Approx(1.5).epsilon(0.15));
  CHECK(sink - sum / count == Approx(3.0).margin(0.5));
  CHECK(own - sum / count == Approx(1.5).margin(0.5));
}

TEST_CASE("Rounding is to nearest, ties to even, once") {
  // IEEE 754 by hand: bf16 keeps 8 significant bits, binary16 11, its smallest subnormal is 2^-24.
  CHECK(round_to(Dtype::bf16, 1.0 + 0x1p-8) == 1.0);
  CHECK(round_to(Dtype::bf16, 1.0 + 0x1.8p-7) == 1.0 + 0x1p-6);
  CHECK(round_to(Dtype::bf16, 1.0 + 0x1p-8 + 0x1p-40) == 1.0 + 0x1p-7);
  CHECK(round_to(Dtype::bf16, 0x1.FFp0) == 2.0);
  CHECK(round_to(Dtype::f16, 1.0 + 0x1p-11) == 1.0);
  CHECK(round_to(Dtype::f16, -(1.0 + 0x1p-11 + 0x1p-40)) == -(1.0 + 0x1p-10));
  CHECK(round_to(Dtype::f16, 0x1p-25) == 0.0);
  CHECK(round_to(Dtype::f16, 0x1.8p-24) == 0x1p-23);
  CHECK(round_to(Dtype::f16, 65519.0) == 65504.0);
  CHECK(std::isinf(round_to(Dtype::f16, 65520.0)));
  CHECK(round_to(Dtype::f32, 0.1) == static_cast<double>(0.1F));
  CHECK(std::signbit(round_to(Dtype::bf16, -0.0)));
  std::byte bytes[4];
  CHECK(store(Dtype::f16, -1.5, bytes) == 2);
  CHECK(std::to_integer<int>(bytes[1]) == 0xBE);
  CHECK(store(Dtype::bf16, 1.5, bytes) == 2);
  CHECK(std::to_integer<int>(bytes[0]) == 0xC0);
  CHECK(std::to_integer<int>(bytes[1]) == 0x3F);
}

TEST_CASE("The generator's numbers have the moments of a normal distribution") {
  const Normal normal(7, Stream::kv_c);
  double sum = 0;
  double squares = 0;
  double fourth = 0;
  constexpr int k_count = 200000;
  for (std::uint64_t i = 0; i < k_count; ++i) {
    const double x = normal(i);
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  CHECK(sum / k_count == Approx(0.0).margin(0.01));
  CHECK(squares / k_count == Approx(1.0).margin(0.01));
  CHECK(fourth / k_count == Approx(2.9).margin(0.05)); // 3 - 1.2 / 12 for twelve uniforms
}

TEST_CASE("Parameters that make no sample are refused before anything is written") {
  const TempDir directory;
  const auto refuse = [&](void (*change)(SampleParameters&)) {
    SampleParameters parameters = small_sample();
    change(parameters);
    const auto written = write_sample(parameters, directory / "s.safetensors");
    return !written.has_value() && written.error().kind == ErrorKind::usage;
  };
  CHECK(refuse([](SampleParameters& p) { p.heads = 3; }));
  CHECK(refuse([](SampleParameters& p) { p.seq_len = 0; }));
  CHECK(refuse([](SampleParameters& p) { p.seq_len = INT64_MAX; }));
  CHECK(refuse([](SampleParameters& p) { p.prefix_len = -1; }));
  CHECK(refuse([](SampleParameters& p) { p.dtype = Dtype::f64; }));
  CHECK(refuse([](SampleParameters& p) { p.softmax_scale = 0.0; }));
  CHECK(refuse([](SampleParameters& p) { p.inverse_frequencies = {1.0}; }));
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("A sample that cannot be written leaves nothing behind") {
  const TempDir directory;
  const auto failed = write_sample(small_sample(), directory / "no/such/place.safetensors");
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().kind == ErrorKind::write);
  CHECK(write_sample(small_sample(), "/dev/null").error().kind == ErrorKind::write);
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("Seed, distribution names and the plan of a file are checked") {
  CHECK(distribution_named("realistic") == Distribution::realistic);
  CHECK_FALSE(distribution_named("uniform").has_value());
  for (const auto d : {Distribution::realistic, Distribution::gaussian, Distribution::flat,
                       Distribution::peaked}) {
    CHECK(distribution_named(tensor::sampling::to_string(d)) == d);
  }
  const TempDir directory;
  CHECK_FALSE(SafetensorsWriter::create(directory / "a",
                                        {{"x", Dtype::f32, {1}}, {"x", Dtype::f32, {1}}}, {})
                  .has_value());
  CHECK_FALSE(SafetensorsWriter::create(directory / "a", {{"x", Dtype::f64, {INT64_MAX / 2}}}, {})
                  .has_value());
  auto writer = SafetensorsWriter::create(directory / "a", {{"x", Dtype::f32, {1}}}, {});
  REQUIRE(writer.has_value());
  CHECK(writer->write(0, 1, std::vector<std::byte>(4)).error().kind == ErrorKind::internal);
}
