#include "diagnosed.hpp"

#include <mla_scale/diagnose/choose_rows.hpp>
#include <mla_scale/reference/attention.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <support/catch.hpp>
#include <support/tensors.hpp>
#include <vector>

// Sequences so long that scales are looked for in short rows first.

using namespace mla_scale;

namespace {

constexpr std::int64_t k_tokens = 17'000;
constexpr std::int64_t k_heads = 2;
constexpr double k_scale = 0.25;

/// Query rows that are chosen and have an out.
std::vector<std::int64_t> chosen_rows() {
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 15; row < k_tokens; row += 217) {
    rows.push_back(row);
  }
  return rows;
}

/// One long sequence, without an out.
simulator::Simulation inputs() {
  simulator::Simulation simulation;
  tensor::Capture& capture = simulation.capture;
  capture.q = tensors::number_view(1, k_tokens, k_heads, 16, 2.0);
  capture.k = tensors::number_view(2, k_tokens, k_heads, 16, 2.0);
  capture.v = tensors::number_view(3, k_tokens, k_heads, 8);
  capture.query_rows = k_tokens;
  capture.key_rows = k_tokens;
  capture.heads = k_heads;
  capture.sequences = {{0, k_tokens, 0, k_tokens}};
  simulation.expectation.softmax_scale = k_scale;
  simulation.expectation.geometry = {k_heads, 32, 12, 4, 8};
  return simulation;
}

/// What the diagnosis says of attention whose scale is `factor` of the number of keys that a row
/// sees times the expected one.
diagnose::Report report_of(double (*factor)(std::int64_t keys)) {
  simulator::Simulation simulation = inputs();
  auto problem = posed(simulation);
  problem.rows = chosen_rows();
  auto broken = problem;
  for (std::int64_t row = 0; row < k_tokens; ++row) {
    broken.query_factors.push_back(factor(row + 1));
  }
  const auto attention = reference::compute(broken);
  REQUIRE(attention);
  std::vector<double> out(static_cast<std::size_t>(k_tokens * k_heads * 8), 0.0);
  for (std::size_t row = 0; row < attention->rows.size(); ++row) {
    const auto first = static_cast<std::size_t>(attention->rows[row]) * 2;
    for (std::size_t head = 0; head < 2; ++head) {
      const auto values = attention->out_row(row, head);
      std::copy(values.begin(), values.end(),
                out.begin() + static_cast<std::ptrdiff_t>(8 * (first + head)));
    }
  }
  simulation.capture.out = tensors::view(std::move(out), k_tokens, k_heads, 8);
  auto report = diagnose::diagnose(problem, simulation.capture, simulation.expectation);
  REQUIRE(report);
  return std::move(*report);
}

} // namespace

TEST_CASE("of a long sequence a dozen rows of each head that see few keys are looked at as well") {
  auto problem = posed(inputs());
  problem.rows = chosen_rows();
  std::map<std::int64_t, int> of_few_keys;
  std::map<std::int64_t, int> of_many_keys;
  for (const auto& [head, row] : diagnose::choose_rows(problem, 8, 600'000)) {
    ++(row < 4096 ? of_few_keys : of_many_keys)[head];
  }
  CHECK(of_few_keys.size() == 2);
  CHECK(of_many_keys.size() == 2);
  for (const auto& [head, count] : of_few_keys) {
    CHECK(count >= 12);
    CHECK(of_many_keys[head] >= 4);
  }
}

TEST_CASE("a wrong scale of a long sequence is named as that of a short one") {
  const auto report = report_of([](std::int64_t) { return 1.2345; });
  REQUIRE(simulator::first_of(report) == "scale.other");
  CHECK(simulator::number(report.findings.front(), "softmax_scale")
        == Approx(1.2345 * k_scale).epsilon(1e-6));
  CHECK(simulator::first_of(report_of([](std::int64_t) { return 1.0; })) == "healthy");
}

TEST_CASE("a bug that begins where short rows end is no healthy kernel, and no scale") {
  const auto report = report_of([](std::int64_t keys) { return keys > 8192 ? 1.25 : 1.0; });
  CHECK(simulator::first_of(report) == "temperature.by_position");
}
