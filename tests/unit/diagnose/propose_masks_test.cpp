#include "appended.hpp"

#include <string>
#include <support/catch.hpp>
#include <vector>

// Expected values: the numbers that variants.cpp was told to inject, and weights by hand.

using namespace mla_scale;
using namespace simulator;

namespace {

Candidates masks(const Settings& settings, const std::string& bug) {
  return appended(Examined(simulate(settings, bug)), diagnose::propose_masks);
}

/// Of the offsets longer than `id` says, by value.
std::vector<double> offsets(const Candidates& all, const std::string& id) {
  std::vector<double> found;
  for (const auto& candidate : with_id(all, id)) {
    found.push_back(number(candidate.parts.front(), "offset"));
  }
  return found;
}

std::vector<double> windows(const Candidates& all) {
  std::vector<double> found;
  for (const auto& candidate : with_id(all, "mask.window")) {
    found.push_back(number(candidate.parts.front(), "window"));
  }
  return found;
}

using List = std::vector<double>;

} // namespace

TEST_CASE("a mask is moved by one key either way, at no cost of a scan", "[proposers]") {
  const auto all = masks(tiny(), "healthy");
  const auto longer = with_id(all, "mask.off_by_one_long");
  const auto shorter = with_id(all, "mask.off_by_one_short");
  REQUIRE(longer.size() == 1);
  REQUIRE(shorter.size() == 1);
  CHECK(longer[0].cost == 1.0);
  CHECK(shorter[0].cost == 1.0);
  CHECK(longer[0].parts.front().evidence == "each row sees 1 key more than it should");
  CHECK(shorter[0].parts.front().evidence == "each row sees 1 key less than it should");
  CHECK(bent(longer[0], row_seeing(3, 6)) == runs_of({{1, 4}, {0, 2}}));
  CHECK(bent(longer[0], row_seeing(6, 6)) == runs_of({{1, 6}}));
  CHECK(bent(shorter[0], row_seeing(3, 6)) == runs_of({{1, 2}, {0, 4}}));
  CHECK(bent(shorter[0], row_seeing(1, 6)) == runs_of({{0, 6}}));
}

TEST_CASE("without a mask a row sees all, and a mask of the first key needs a prefix",
          "[proposers]") {
  Settings settings = tiny();
  const auto none = with_id(masks(settings, "healthy"), "mask.none");
  REQUIRE(none.size() == 1);
  CHECK(bent(none[0], row_seeing(3, 6)) == runs_of({{1, 6}}));
  CHECK(with_id(masks(settings, "healthy"), "mask.top_left").empty());
  settings.prefix = 1;
  const auto first = with_id(masks(settings, "healthy"), "mask.top_left");
  REQUIRE(first.size() == 1);
  CHECK(bent(first[0], row_seeing(5, 6, 2)) == runs_of({{1, 3}, {0, 3}}));
}

TEST_CASE("masks moved by more keys are found as far as the longest row goes", "[proposers]") {
  // 16 keys: moved by 15 every row sees all of them.
  CHECK(offsets(masks(tiny(), "mask.moved:2"), "mask.off_by_one_long") == List{1, 2});
  CHECK(offsets(masks(tiny(), "mask.moved:15"), "mask.off_by_one_long") == List{1, 15});
  CHECK(offsets(masks(tiny(), "mask.none"), "mask.off_by_one_long") == List{1, 15});
  CHECK(offsets(masks(tiny(), "mask.moved:-2"), "mask.off_by_one_short") == List{-1, -2});
  CHECK(offsets(masks(tiny(), "mask.moved:1"), "mask.off_by_one_long") == List{1});
  CHECK(offsets(masks(tiny(), "mask.moved:-1"), "mask.off_by_one_short") == List{-1});
  // A row of 16 keys that sees but one.
  Settings decode = tiny();
  decode.queries = 1;
  decode.prefix = 15;
  const auto all = with_id(masks(decode, "mask.moved:-15"), "mask.off_by_one_short");
  REQUIRE(all.size() == 2);
  CHECK(number(all[1].parts.front(), "offset") == -15.0);
  CHECK(all[1].parts.front().evidence == "each row sees 15 keys less than it should");
  CHECK(all[1].cost == 6.0);
  CHECK(with_id(masks(tiny(), "mask.moved:3"), "mask.off_by_one_long")[1].parts.front().evidence
        == "each row sees 3 keys more than it should");
}

TEST_CASE("windows are found from one key to all but one, the best two of them", "[proposers]") {
  for (const double window : {1.0, 5.0, 15.0}) {
    const auto found = windows(masks(tiny(), "mask.window:" + std::to_string(window)));
    REQUIRE(found.size() == 2);
    CHECK(found[0] == window);
  }
  // Of a healthy kernel the largest fit best, but no window is as long as the longest row.
  CHECK(windows(masks(tiny(), "healthy")) == List{15, 14});
  const auto five = with_id(masks(tiny(), "mask.window:5"), "mask.window")[0];
  CHECK(five.cost == 6.0);
  CHECK(five.parts.front().evidence == "each row sees the last 5 keys that it should see");
  CHECK(bent(five, row_seeing(7, 9)) == runs_of({{0, 2}, {1, 5}, {0, 2}}));
  CHECK(bent(five, row_seeing(4, 9)) == runs_of({{1, 4}, {0, 5}}));
}

TEST_CASE("rows of two keys leave one window, rows of one key none", "[proposers]") {
  Settings settings = tiny();
  settings.queries = 2;
  CHECK(windows(masks(settings, "mask.window:1")) == List{1});
  settings.queries = 1;
  CHECK(windows(masks(settings, "healthy")).empty());
}
