#include "diagnosed.hpp"
#include "kernel.hpp"

#include <mla_scale/diagnose/noise.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <support/catch.hpp>
#include <support/tensors.hpp>
#include <utility>
#include <vector>

// What a healthy kernel leaves, measured with roundings of the tests' own.

using namespace mla_scale;
using namespace simulator;

namespace {

std::vector<double> numbers_of(const tensor::View3& view) {
  std::vector<double> numbers;
  for (std::int64_t token = 0; token < view.tokens; ++token) {
    for (std::int64_t head = 0; head < view.heads; ++head) {
      for (std::int64_t column = 0; column < view.width; ++column) {
        numbers.push_back(view.at(token, head, column));
      }
    }
  }
  return numbers;
}

/// The view with other numbers in the places of its own.
template <class Number>
tensor::View3 with_numbers(const tensor::View3& view, tensor::Dtype dtype,
                           std::vector<Number> numbers) {
  const auto held = std::make_shared<std::vector<Number>>(std::move(numbers));
  auto tensor = std::make_shared<tensor::Tensor>(*view.tensor);
  tensor->dtype = dtype;
  tensor->data = reinterpret_cast<const std::byte*>(held->data());
  tensor->owner = held;
  tensor::View3 result = view;
  result.tensor = tensor;
  return result;
}

/// The view's numbers as bf16, to nearest.
tensor::View3 as_bf16(const tensor::View3& view) {
  std::vector<std::uint16_t> bits;
  for (const double number : numbers_of(view)) {
    const auto single = static_cast<float>(round_to(tensor::Dtype::bf16, number));
    std::uint32_t word = 0;
    std::memcpy(&word, &single, sizeof word);
    bits.push_back(static_cast<std::uint16_t>(word >> 16U));
  }
  return with_numbers(view, tensor::Dtype::bf16, std::move(bits));
}

/// Thirds of the view's numbers in float64, which no float32 holds.
tensor::View3 thirds(const tensor::View3& view) {
  auto numbers = numbers_of(view);
  for (double& number : numbers) {
    number /= 3.0;
  }
  return with_numbers(view, tensor::Dtype::f64, std::move(numbers));
}

} // namespace

TEST_CASE("the unit of rounding is the error of numbers that are rounded") {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> exponent(0.0, 1.0);
  double sum = 0.0;
  constexpr int k_count = 100'000;
  for (int at = 0; at < k_count; ++at) {
    const double exact = std::exp2(exponent(random));
    sum += std::pow(round_to(tensor::Dtype::bf16, exact) / exact - 1.0, 2);
  }
  CHECK(diagnose::rounding_unit(7) == Approx(std::sqrt(sum / k_count)).epsilon(0.02));
  // Three bits more, an eighth of the error.
  CHECK(diagnose::rounding_unit(10) == Approx(diagnose::rounding_unit(7) / 8.0));
}

TEST_CASE("a healthy kernel's error is about one of a healthy kernel's") {
  for (const auto dtype : {tensor::Dtype::bf16, tensor::Dtype::f16}) {
    Settings settings;
    settings.dtype = dtype;
    CHECK(diagnosed(simulate(settings, "healthy")).null_ratio == Approx(1.0).epsilon(0.15));
  }
}

TEST_CASE("logits rounded to float16 are about as coarse, in its units, as those of bf16") {
  for (const auto dtype : {tensor::Dtype::bf16, tensor::Dtype::f16}) {
    Settings settings;
    settings.dtype = dtype;
    settings.round_logits = true;
    const auto report = diagnosed(simulate(settings, "healthy"));
    REQUIRE(report.notes.size() == 1);
    CHECK(number(report.notes.front(), "coarseness") >= 0.5);
    CHECK(number(report.notes.front(), "coarseness") <= 1.4);
  }
}

TEST_CASE("tensor cores that read float32 as TF32 are healthy") {
  Settings settings;
  settings.dtype = tensor::Dtype::f32;
  settings.prefix = 24;
  for (const bool lse : {true, false}) {
    settings.lse = lse;
    for (const double spread : {1.0, 0.02}) { // of logits that round, and of values alone that do
      settings.spread = spread;
      CHECK(first_of(diagnosed(simulate(settings, "healthy:tf32"))) == "healthy");
    }
  }
}

TEST_CASE("lse written as bf16 is off by the rounding of bf16, near 1 as elsewhere") {
  // Three keys of nearly equal logits: lse = ln 3 = 1.0986.
  Settings settings;
  settings.queries = 1;
  settings.prefix = 2;
  settings.heads = 64;
  settings.spread = 0.01;
  auto simulation = simulate(settings, "healthy");
  simulation.capture.lse = as_bf16(*simulation.capture.lse);
  const auto report = diagnosed(simulation);
  CHECK(first_of(report) == "healthy");
  REQUIRE_FALSE(report.considered.empty());
  CHECK(report.considered.front().lse_ratio < 2.0);
}

TEST_CASE("a wrong stride is named where logits are rounded") {
  Settings settings;
  settings.round_logits = true;
  for (const char* bug : {"output.stride", "output.stride:heads_first"}) {
    CHECK(first_of(diagnosed(simulate(settings, bug))) == "output.stride");
  }
}

TEST_CASE("out in float64 is measured by the sums of a float32 kernel") {
  Settings settings;
  settings.dtype = tensor::Dtype::f32;
  auto capture = simulate(settings, "healthy").capture;
  const double of_float32 = diagnose::noise_of(capture, false).out;
  capture.out = thirds(*capture.out);
  CHECK(diagnose::noise_of(capture, false).out == of_float32);
}

namespace {

/// q, k and v of one dtype, of which nothing but the dtype is read, and out of another.
tensor::Capture of_dtypes(tensor::Dtype inputs, tensor::Dtype output) {
  const auto view = [](tensor::Dtype dtype) {
    return with_numbers(tensors::number_view(1, 4, 1, 2), dtype, std::vector<double>(8, 1.0 / 3));
  };
  tensor::Capture capture;
  capture.q = view(inputs);
  capture.k = view(inputs);
  capture.v = view(inputs);
  capture.out = view(output);
  return capture;
}

/// The q of a capture in float32.
tensor::Capture of_floats(std::int64_t tokens, std::int64_t at, float value) {
  std::vector<float> numbers(static_cast<std::size_t>(2 * tokens), 1.0F);
  numbers[static_cast<std::size_t>(2 * at + 1)] = value;
  tensor::Capture capture;
  capture.q = with_numbers(tensors::number_view(1, tokens, 1, 2), tensor::Dtype::f32, numbers);
  return capture;
}

} // namespace

TEST_CASE("what a healthy kernel rounds hangs on the dtypes that it reads and writes", "[parts]") {
  using tensor::Dtype;
  // 2^-b / sqrt(12) · sqrt(3 / (8 ln 2)), b explicit bits.
  const auto unit = [](int bits) {
    return std::pow(2.0, -bits) / std::sqrt(12.0) * std::sqrt(3.0 / (8.0 * std::log(2.0)));
  };
  const double sums = 4e-7; // of a float32 kernel
  struct Case {
    Dtype inputs;
    Dtype output;
    diagnose::Noise noise; // from a latent
  };
  const Case cases[] = {
      {Dtype::bf16, Dtype::bf16, {unit(7), unit(7), 1e-6, 2e-7, unit(7), unit(7), 0.0}},
      {Dtype::f16, Dtype::bf16, {unit(7), unit(10), 1e-6, 2e-7, unit(10), unit(10), 0.0}},
      {Dtype::bf16, Dtype::f32, {sums, unit(7), 1e-6, 2e-7, unit(7), unit(7), 0.0}},
      {Dtype::f64, Dtype::f16, {unit(10), sums, 1e-6, 2e-7, 0.0, unit(10), unit(10)}},
      {Dtype::f8_e4m3fn, Dtype::bf16, {unit(7), unit(7), 1e-6, 2e-7, unit(7), unit(7), unit(3)}},
      {Dtype::f8_e5m2, Dtype::bf16, {unit(7), unit(7), 1e-6, 2e-7, unit(7), unit(7), unit(3)}}};
  for (const auto& [inputs, output, expected] : cases) {
    auto capture = of_dtypes(inputs, Dtype::f64);
    if (output != Dtype::f32) {
      capture = of_dtypes(inputs, output);
    }
    const auto noise = diagnose::noise_of(capture, true);
    INFO(static_cast<int>(inputs) << " to " << static_cast<int>(output));
    CHECK(noise.out == Approx(expected.out));
    CHECK(noise.probability == Approx(expected.probability));
    CHECK(noise.lse == Approx(expected.lse));
    CHECK(noise.logit == Approx(expected.logit));
    CHECK(noise.stored == Approx(expected.stored));
    CHECK(noise.coarse_logit == Approx(expected.coarse_logit));
    CHECK(noise.coarse_probability == Approx(expected.coarse_probability));
    CHECK(diagnose::noise_of(capture, false).stored == 0.0);
    CHECK(diagnose::is_bf16(capture) == (inputs == Dtype::bf16));
  }
}

TEST_CASE("float32 tensors that hold nothing finer count as bf16 or as float16", "[parts]") {
  const auto bits_of = [](const tensor::Capture& capture) {
    return -std::log2(diagnose::noise_of(capture, false).coarse_logit / diagnose::rounding_unit(0));
  };
  CHECK(bits_of(of_floats(4, 1, 1.0F + 1.0F / 128)) == Approx(7.0));
  CHECK(bits_of(of_floats(4, 1, 1.0F + 1.0F / 256)) == Approx(10.0));
  CHECK(bits_of(of_floats(4, 1, 1.0F + 1.0F / 1024)) == Approx(10.0));
  CHECK(diagnose::noise_of(of_floats(4, 1, 1.0F + 1.0F / 1024), false).coarse_probability == 0.0);
  CHECK(diagnose::noise_of(of_floats(4, 1, 1.0F + 1.0F / 2048), false).coarse_probability > 0.0);
  CHECK(diagnose::noise_of(of_floats(4, 3, -1.0F / 3), false).coarse_probability > 0.0);
  // Zeros and what is not finite have no bits; of 32 tokens every other one is looked at.
  CHECK(bits_of(of_floats(4, 1, 0.0F)) == Approx(7.0));
  CHECK(bits_of(of_floats(4, 1, std::nanf(""))) == Approx(7.0));
  CHECK(diagnose::noise_of(of_floats(32, 30, 1.0F / 3), false).coarse_probability > 0.0);
  CHECK(diagnose::noise_of(of_floats(32, 29, 1.0F / 3), false).coarse_probability == 0.0);
}
