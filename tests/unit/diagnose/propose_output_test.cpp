#include "appended.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Expected values: the widths that a config has, and what a simulated reader sees.

using namespace mla_scale;
using namespace simulator;

namespace {

Candidates layouts_of(const Examined& examined) {
  return appended(examined, diagnose::propose_output);
}

/// Widths written, of whole rows or of each token.
std::vector<double> written(const Candidates& all, bool within_token) {
  std::vector<double> widths;
  for (const auto& candidate : all) {
    const auto& part = candidate.parts.front();
    if (part.parameters.front().name == "written_width"
        && (part.parameters.size() == 3) == within_token) {
      widths.push_back(number(part, "written_width"));
    }
  }
  return widths;
}

/// Every row that the candidate predicts is the one captured, and so many rows are.
void check_reads(const Examined& examined, const diagnose::Candidate& candidate,
                 std::size_t expected_rows) {
  std::size_t rows = 0;
  for (std::size_t index = 0; index < examined.sample.rows.size(); ++index) {
    const auto prediction = candidate.direct(examined.sample.rows[index]);
    if (!prediction.defined) {
      continue;
    }
    ++rows;
    const auto captured = examined.sample.out_of(index);
    for (std::size_t column = 0; column < captured.size(); ++column) {
      CHECK(prediction.out[column] == Approx(captured[column]).margin(1e-4));
    }
  }
  CHECK(rows == expected_rows);
}

const diagnose::Candidate& layout_with(const Candidates& all, const std::string& evidence) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& candidate) {
    return candidate.parts.front().evidence.find(evidence) != std::string::npos;
  });
  REQUIRE(found != all.end());
  return *found;
}

Settings two_heads() {
  Settings settings = tiny();
  settings.heads = 2;
  settings.queries = 9;
  return settings;
}

using List = std::vector<double>;

} // namespace

TEST_CASE("an output is written as wide as some width of the config, padded or not",
          "[proposers]") {
  // qk_head_dim 48, 64 above it, v_head_dim + 64, kv_lora_rank 56, two tiles, 56 + 16.
  const Examined examined(simulate({.heads = 2, .queries = 4}, "healthy"));
  const auto all = layouts_of(examined);
  CHECK(written(all, false) == List{48, 64, 88, 56, 128, 256, 72});
  CHECK(written(all, true) == List{48, 64, 88, 56, 128, 256, 72});
  CHECK(all.size() == 16);
  for (const auto& candidate : all) {
    CHECK(candidate.cost == 6.0);
    CHECK(candidate.few_rows);
  }
}

TEST_CASE("widths that are equal, or no wider than the values, are tried once or not",
          "[proposers]") {
  Settings settings = tiny();
  settings.queries = 4;
  // 10 columns of values; qk_head_dim 10, 16 above it, 74, kv_lora_rank 10, 128, 256, 14.
  settings.latent = 10;
  CHECK(written(layouts_of(Examined(simulate(settings, "healthy"))), false)
        == List{16, 74, 128, 256, 14});
  // qk_head_dim 16 is its own power of two.
  settings.nope = 12;
  settings.latent = 16;
  CHECK(written(layouts_of(Examined(simulate(settings, "healthy"))), false)
        == List{16, 74, 128, 256, 20});
}

TEST_CASE("one head has no heads apart, and no order of them", "[proposers]") {
  const auto all = layouts_of(Examined(simulate(tiny(), "healthy")));
  CHECK(written(all, true).empty());
  CHECK(written(all, false).size() == all.size());
}

TEST_CASE("rows written wider than they are read are predicted to the last column", "[proposers]") {
  for (const std::int64_t width : {14, 16, 128}) {
    const Examined examined(simulate(two_heads(), fmt::format("output.stride:{}", width)));
    const auto all = layouts_of(examined);
    const auto& candidate = layout_with(
        all, fmt::format("out was written with rows of {}, read with rows of 10;", width));
    CHECK(candidate.parts.front().evidence.ends_with("looked at 9 rows"));
    check_reads(examined, candidate, 9);
  }
}

TEST_CASE("heads written further apart, or rows and heads exchanged, are predicted",
          "[proposers]") {
  const struct {
    const char* bug;
    const char* evidence;
  } all[] = {{"output.stride:heads_first", "written as [heads, rows], read as [rows, heads]"},
             {"output.stride:rows_first", "written as [rows, heads], read as [heads, rows]"}};
  for (const auto& [bug, evidence] : all) {
    const Examined examined(simulate(two_heads(), bug));
    check_reads(examined, layout_with(layouts_of(examined), evidence), 9);
  }
  Settings settings = two_heads();
  settings.nope = 12; // 16 columns
  const Examined examined(simulate(settings, "output.stride:token"));
  const auto candidates = layouts_of(examined);
  const auto& token = layout_with(candidates, "of each token written with heads 16 apart, read");
  CHECK(text(token.parts.front(), "within") == "token");
  CHECK(number(token.parts.front(), "read_width") == 10.0);
  check_reads(examined, token, 9);
}

TEST_CASE("numbers bring along the rounding of the rows they were written as", "[proposers]") {
  // As [rows, heads], read as [heads, rows]: a row comes whole from another.
  const Examined examined(simulate(two_heads(), "output.stride:rows_first"));
  const auto all = layouts_of(examined);
  const auto& candidate = layout_with(all, "written as [rows, heads], read as [heads, rows]");
  const auto& row = examined.sample.rows[4]; // head 0: element 4 is row 2 of head 0
  const auto prediction = candidate.direct(row);
  REQUIRE(prediction.defined);
  const auto source =
      examined.predictor.predict(examined.context.reference, examined.sample.rows[2]);
  CHECK(prediction.fine == Approx(source.fine));
  CHECK(prediction.coarse == Approx(source.coarse));
}

TEST_CASE("one row alone is read from where it was written", "[proposers]") {
  // Five columns read of rows of nine: the first column of row 8 is the last of row 4.
  Settings settings = tiny();
  settings.nope = 5;
  settings.value = 5;
  Examined examined(simulate(settings, "output.stride:9"));
  examined.context.probe = {8};
  const auto all = layouts_of(examined);
  check_reads(examined, layout_with(all, "written with rows of 9, read with rows of 5"), 1);
}

TEST_CASE("without out there is nothing to read with other strides", "[proposers]") {
  Settings settings = two_heads();
  settings.lse = true;
  auto simulation = simulate(settings, "healthy");
  simulation.capture.out.reset();
  CHECK(layouts_of(Examined(std::move(simulation))).empty());
}

TEST_CASE("a layout of which the rows looked at would show padding alone is none", "[proposers]") {
  // 24 columns written in rows of 48: every other row that is read is padding.
  Examined examined(simulate({}, "tail.uninitialised:zero"));
  CHECK_FALSE(written(layouts_of(examined), false).empty());
  std::erase_if(examined.context.probe, [&](std::size_t index) {
    const auto& row = examined.sample.rows[index];
    return (3 * row.row + row.head) % 2 == 0;
  });
  const auto widths = written(layouts_of(examined), false);
  CHECK(std::find(widths.begin(), widths.end(), 48.0) == widths.end());
}
