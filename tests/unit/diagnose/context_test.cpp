#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/context.hpp>

#include <cstddef>
#include <numeric>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// Which rows of a sample are for scans and which for fits, counted by hand.

using namespace mla_scale;

namespace {

/// A sample of so many rows of each head, which all see so many keys.
struct RowsOfHeads {
  RowsOfHeads(std::int64_t heads, std::size_t rows_each, std::size_t keys) {
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::size_t at = 0; at < rows_each; ++at) {
        diagnose::Row row;
        row.head = head;
        row.visible = keys;
        sample.rows.push_back(row);
      }
    }
  }

  [[nodiscard]] diagnose::Context context() const {
    std::vector<std::size_t> all(sample.rows.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return diagnose::make_context(problem, capture, expectation, sample, predictor, all, 0.0);
  }

  reference::Problem problem;
  tensor::Capture capture;
  diagnose::Expectation expectation;
  diagnose::Sample sample;
  diagnose::Predictor predictor{sample, diagnose::Noise{}};
};

} // namespace

TEST_CASE("scans look at 40 rows of up to four heads, the first and the last among them",
          "[parts]") {
  const auto of_one = RowsOfHeads(1, 100, 8).context().probe;
  CHECK(of_one.size() == 40);
  CHECK(of_one.front() == 0);
  CHECK(of_one.back() == 99);
  CHECK(of_one[13] == 33); // 13 · 99 / 39
  const auto of_seven = RowsOfHeads(7, 20, 8).context().probe;
  REQUIRE(of_seven.size() == 40);
  for (std::size_t at = 0; at < 4; ++at) { // heads 0, 2, 4, 6
    CHECK(of_seven[10 * at] == 40 * at);
    CHECK(of_seven[10 * at + 9] == 40 * at + 19);
  }
  // One row of each of 40 / 3 heads would be its last.
  CHECK(RowsOfHeads(3, 1, 8).context().probe == std::vector<std::size_t>{0, 1, 2});
  CHECK(RowsOfHeads(2, 3, 8).context().probe == std::vector<std::size_t>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("fits take all of a few rows, every other of more, some 320 of many", "[parts]") {
  const auto fit_of = [](std::size_t rows) { return RowsOfHeads(1, rows, 8).context().fit; };
  CHECK(fit_of(63).size() == 63);
  CHECK(fit_of(63).front() == 0);
  const auto half = fit_of(64);
  REQUIRE(half.size() == 32);
  CHECK(half[0] == 1);
  CHECK(half[1] == 3);
  CHECK(fit_of(959).size() == 479);
  const auto third = fit_of(960);
  REQUIRE(third.size() == 320);
  CHECK(third[0] == 1);
  CHECK(third[1] == 4);
}

TEST_CASE("short rows stand for long ones where there are a dozen, and one is long", "[parts]") {
  const auto on_short = [](std::size_t short_rows, std::size_t keys_of_short,
                           std::size_t keys_of_long) {
    RowsOfHeads rows(1, short_rows + 30, keys_of_short);
    for (std::size_t at = short_rows; at < rows.sample.rows.size(); ++at) {
      rows.sample.rows[at].visible = keys_of_long;
    }
    const auto context = rows.context();
    const auto brief = diagnose::on_short_rows(context);
    return brief ? std::pair{brief->probe.size(), brief->fit.size()} : std::pair{0UL, 0UL};
  };
  CHECK(on_short(12, 4096, 16'385) == std::pair{12UL, 12UL});
  CHECK(on_short(11, 4096, 16'385) == std::pair{0UL, 0UL}); // too few
  CHECK(on_short(12, 4097, 16'385) == std::pair{0UL, 0UL}); // not short
  CHECK(on_short(12, 4096, 16'384) == std::pair{0UL, 0UL}); // none is long
}

TEST_CASE("the model's own sinks are part of what attention should be", "[parts]") {
  RowsOfHeads rows(2, 1, 8);
  CHECK_FALSE(rows.context().reference.extra_mass);
  rows.problem.sinks = {0.5, 1.5};
  const auto context = rows.context();
  REQUIRE(context.reference.extra_mass);
  CHECK(context.reference.extra_mass(rows.sample.rows[1]) == 1.5);
  CHECK_FALSE(context.reference.lse_counts_extra_mass);
}
