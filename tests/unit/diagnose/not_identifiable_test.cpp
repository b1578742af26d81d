#include "diagnosed.hpp"

#include <mla_scale/diagnose/not_finite.hpp>
#include <mla_scale/diagnose/not_identifiable.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <support/catch.hpp>
#include <support/tensors.hpp>
#include <vector>

// What a capture cannot tell, and what is not a number in it: expectations, shapes and tensors by
// hand.

using namespace mla_scale;
using Ids = std::vector<std::string>;

namespace {

/// A capture and a config that tell everything: two heads, four query rows behind a prefix of two.
struct Telling {
  Telling() {
    problem.q.tokens = 4;
    problem.q.heads = 2;
    problem.sequences = {{0, 4, 0, 6}};
    capture.heads = 2;
    capture.lse = tensor::View3();
    capture.q_pre = tensor::View3();
    capture.k_pe_pre = tensor::View3();
    capture.positions_q = {0};
    capture.positions_k = {0};
    expectation.geometry = {2, 32, 16, 8, 24};
    expectation.mscale = 1.25;
    expectation.mscale_other_key = 1.5;
    expectation.rotary.inverse_frequencies = {1.0};
  }

  [[nodiscard]] std::vector<diagnose::NotIdentifiable> rows() const {
    return diagnose::not_identifiable(problem, capture, expectation);
  }
  [[nodiscard]] Ids ids() const {
    Ids ids;
    for (const auto& row : rows()) {
      ids.push_back(row.id);
    }
    return ids;
  }

  reference::Problem problem;
  tensor::Capture capture;
  diagnose::Expectation expectation;
};

const Ids& of_rope() {
  static const Ids ids = {"rope.interleave_swapped", "rope.frequencies_plain", "rope.not_applied",
                          "rope.positions_shifted"};
  return ids;
}

constexpr double k_nan = std::numeric_limits<double>::quiet_NaN();
constexpr double k_inf = std::numeric_limits<double>::infinity();

/// Out of two columns, two heads and rows of two sequences, of 2 and of 4 rows.
diagnose::Report of_out(const std::vector<double>& values) {
  tensor::Capture capture;
  capture.out = tensors::view(values, 6, 2, 2);
  reference::Problem problem;
  problem.q.tokens = 6;
  problem.q.heads = 2;
  problem.v = tensors::view({0.0, 0.0}, 1, 1, 2);
  problem.sequences = {{0, 2, 0, 2}, {2, 6, 2, 6}};
  diagnose::Report report;
  const bool finite = diagnose::report_not_finite(problem, capture, {}, report);
  CHECK(finite == report.findings.empty());
  return report;
}

std::vector<double> with_rows(std::size_t first, std::size_t last, double value) {
  std::vector<double> values(24, 1.0);
  for (std::size_t at = 4 * first; at < 4 * (last + 1); ++at) {
    values[at] = value;
  }
  return values;
}

} // namespace

TEST_CASE("a capture that has all, of a config whose numbers differ, tells all", "[choice]") {
  CHECK(Telling().ids().empty());
}

TEST_CASE("two keys of mscale are one when they agree to a millionth", "[choice]") {
  const auto told = [](double other, double mscale) {
    Telling telling;
    telling.expectation.mscale = mscale;
    telling.expectation.mscale_other_key = other;
    return telling.ids().empty();
  };
  CHECK_FALSE(told(1.25 * (1.0 + 0.9e-6), 1.25));
  CHECK(told(1.25 * (1.0 + 1.1e-6), 1.25));
  CHECK_FALSE(told(1.25 * (1.0 - 0.9e-6), 1.25));
  CHECK(told(1.25 * (1.0 - 1.1e-6), 1.25));
  Telling telling;
  telling.expectation.mscale_other_key = 1.25;
  CHECK(telling.ids() == Ids{"scale.mscale_wrong_key"});
  telling.expectation.mscale_other_key.reset();
  CHECK(telling.ids().empty());
}

TEST_CASE("a config without mscale does not tell whether it was left out", "[choice]") {
  Telling telling;
  telling.expectation.mscale = 1.0;
  CHECK(telling.ids() == Ids{"scale.mscale_omitted"});
  telling.expectation.mscale_other_key = 1.0;
  CHECK(telling.ids() == Ids{"scale.mscale_omitted"});
}

TEST_CASE("equal widths of keys and values are not told apart", "[choice]") {
  Telling telling;
  telling.expectation.geometry.v_head_dim = 16;
  const auto rows = telling.rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows.front().id == "scale.v_width");
  CHECK(rows.front().reason
        == "qk_nope_head_dim and v_head_dim are both 16: scale.nope_width and scale.v_width are "
           "the same number");
}

TEST_CASE("a prefix of one sequence tells of masks and contexts", "[choice]") {
  Telling telling;
  telling.problem.sequences = {{0, 2, 0, 2}, {2, 4, 2, 4}};
  CHECK(telling.ids() == Ids{"mask.top_left", "merge.context_dropped"});
  telling.problem.sequences = {{0, 2, 0, 2}, {2, 4, 2, 5}};
  CHECK(telling.ids().empty());
  telling.problem.sequences = {{0, 2, 0, 2}, {2, 4, 2, 3}}; // more rows than keys
  CHECK(telling.ids().size() == 2);
}

TEST_CASE("a capture without lse does not tell its base", "[choice]") {
  Telling telling;
  telling.capture.lse.reset();
  CHECK(telling.ids() == Ids{"lse.base2"});
}

TEST_CASE("RoPE is told by q and k before it, and their positions", "[choice]") {
  const auto needs = [](const auto& change) {
    Telling telling;
    change(telling);
    CHECK(telling.ids() == of_rope());
    return telling.rows().front().needs;
  };
  const std::string rest = " (q and k before RoPE, and their positions)";
  CHECK(needs([](auto& telling) { telling.capture.q_pre.reset(); }) == "q_pre" + rest);
  CHECK(needs([](auto& telling) { telling.capture.k_pe_pre.reset(); }) == "k_pe_pre" + rest);
  CHECK(needs([](auto& telling) { telling.capture.positions_q.clear(); }) == "positions" + rest);
  CHECK(needs([](auto& telling) { telling.capture.positions_k.clear(); }) == "positions" + rest);
  CHECK(needs([](auto& telling) {
          telling.capture.q_pre.reset();
          telling.capture.positions_k.clear();
          telling.expectation.rotary.inverse_frequencies.clear();
        })
        == "q_pre, positions" + rest);
}

TEST_CASE("without the model's frequencies plain ones are not told", "[choice]") {
  Telling telling;
  telling.expectation.rotary.inverse_frequencies.clear();
  CHECK(telling.ids() == Ids{"rope.frequencies_plain"});
}

TEST_CASE("one head has no other's values", "[choice]") {
  Telling telling;
  telling.capture.heads = 1;
  CHECK(telling.ids() == Ids{"value.head_permuted"});
}

TEST_CASE("heads are not told apart where every row sees too many keys to read for all",
          "[choice]") {
  // Up to 2^21 of all heads together.
  const std::int64_t most = std::int64_t{1} << 20;
  const auto told = [](const std::vector<tensor::Sequence>& sequences, std::int64_t heads) {
    Telling telling;
    telling.problem.sequences = sequences;
    telling.capture.heads = heads;
    return telling.ids().empty();
  };
  // The first of the four rows sees most of the keys but three.
  CHECK(told({{0, 4, 0, most + 3}}, 2));
  CHECK_FALSE(told({{0, 4, 0, most + 4}}, 2));
  CHECK_FALSE(told({{0, 4, 0, most + 3}}, 3));
  // The row with the fewest counts, wherever it is, and rows of no sequence or no key do not.
  CHECK(told({{0, 2, 0, 2 * most}, {2, 4, 0, most + 1}}, 2));
  CHECK(told({{0, 2, 0, most + 1}, {2, 4, 0, 2 * most}}, 2));
  CHECK_FALSE(told({{1, 3, 0, 2 * most}}, 2));
  CHECK_FALSE(told({{0, 2, 0, 2 * most}, {2, 4, 0, 0}}, 2));
  CHECK(told({{0, 2, 0, 2 * most}, {2, 4, 0, 1}}, 2));
}

TEST_CASE("how many keys a row sees at least is told", "[choice]") {
  Telling telling;
  telling.problem.sequences = {{0, 4, 0, 3'000'003}};
  const auto rows = telling.rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows.front().id == "value.head_permuted");
  CHECK(rows.front().reason
        == "every query row sees 3000000 keys or more: too many to read for each of 2 heads");
}

TEST_CASE("a finite out, or none, has no finding", "[choice]") {
  CHECK(of_out(std::vector<double>(24, 1.0)).findings.empty());
  diagnose::Report report;
  CHECK(diagnose::report_not_finite({}, {}, {}, report));
}

TEST_CASE("NaN and infinities are counted, and told by row and head", "[choice]") {
  std::vector<double> values(24, 1.0);
  values[4 * 1 + 2] = k_nan; // row 1, head 1
  values[4 * 3 + 3] = k_inf;
  values[4 * 3 + 2] = -k_inf;
  const auto report = of_out(values);
  REQUIRE(simulator::all_of(report) == Ids{"output.nan"});
  const auto& finding = report.findings.front();
  CHECK(simulator::number(finding, "nan") == 1.0);
  CHECK(simulator::number(finding, "inf") == 2.0);
  CHECK(simulator::number(finding, "rows") == 2.0);
  CHECK(simulator::number(finding, "first_row") == 1.0);
  CHECK(simulator::number(finding, "last_row") == 3.0);
  CHECK(simulator::number(finding, "heads") == 1.0);
  CHECK(simulator::number(finding, "first_head") == 1.0);
  CHECK(finding.evidence == "1 NaN and 2 infinities in out, in 2 rows (1..3) and 1 heads (1..1)");
}

TEST_CASE("one infinity alone is not finite, nor beside a NaN", "[choice]") {
  std::vector<double> values(24, 1.0);
  values.back() = k_inf;
  CHECK(simulator::all_of(of_out(values)) == Ids{"output.nan"});
  values.front() = k_nan;
  CHECK(simulator::all_of(of_out(values)) == Ids{"output.nan"});
}

TEST_CASE("whole rows at the end of a sequence that are not finite were never written",
          "[choice]") {
  auto report = of_out(with_rows(4, 5, k_nan));
  REQUIRE(simulator::all_of(report) == Ids{"tail.uninitialised", "output.nan"});
  const auto& tail = report.findings.front();
  CHECK(simulator::text(tail, "axis") == "rows");
  CHECK(simulator::number(tail, "first_row") == 4.0);
  CHECK(tail.residual_ratio == 0.0);
  CHECK(tail.evidence
        == "rows from 4 to the end of their sequence are NaN or infinite in every element, no row "
           "before them is");
  auto mixed = with_rows(3, 5, k_nan);
  mixed[13] = k_inf;
  CHECK(simulator::first_of(of_out(mixed)) == "tail.uninitialised");
}

TEST_CASE("rows that are not finite are no tail unless they are whole, two, and the last",
          "[choice]") {
  const auto is_tail = [](const std::vector<double>& values) {
    return simulator::first_of(of_out(values)) == "tail.uninitialised";
  };
  CHECK_FALSE(is_tail(with_rows(5, 5, k_nan))); // one row
  CHECK_FALSE(is_tail(with_rows(3, 4, k_nan))); // not the last
  CHECK_FALSE(is_tail(with_rows(2, 5, k_nan))); // the whole sequence
  CHECK_FALSE(is_tail(with_rows(1, 5, k_nan))); // and one before it
  auto values = with_rows(4, 5, k_nan);
  values[4 * 4 + 1] = 1.0; // not whole
  CHECK_FALSE(is_tail(values));
  values = with_rows(3, 5, k_nan);
  std::fill_n(values.begin() + 16, 4, 1.0); // with a gap
  CHECK_FALSE(is_tail(values));
}
