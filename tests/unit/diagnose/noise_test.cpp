#include "diagnosed.hpp"
#include "kernel.hpp"

#include <mla_scale/diagnose/noise.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <support/catch.hpp>
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
