#include "diagnosed.hpp"

#include <mla_scale/diagnose/choose_rows.hpp>

#include <algorithm>
#include <set>
#include <support/catch.hpp>
#include <vector>

using namespace mla_scale;

TEST_CASE("the first and the last row of every sequence are looked at, however small the budget") {
  simulator::Settings settings;
  settings.queries = 200;
  auto simulation = simulator::simulate(settings, "healthy");
  simulation.capture.sequences = {{0, 100, 0, 100}, {100, 110, 100, 110}, {110, 200, 110, 200}};
  const auto problem = posed(simulation);
  const auto pairs = diagnose::choose_rows(problem, 3, 3 * 200 * 8); // eight rows of each
  for (std::int64_t head = 0; head < 3; ++head) {
    for (const std::int64_t row : {0, 99, 100, 109, 110, 199}) {
      INFO("head " << head << ", row " << row);
      CHECK(std::binary_search(pairs.begin(), pairs.end(), diagnose::HeadRow{head, row}));
    }
  }
}

TEST_CASE("rows of captures shorter than a handful are all looked at, and no others") {
  simulator::Settings settings;
  for (std::int64_t queries = 1; queries <= 9; ++queries) {
    settings.queries = queries;
    const auto simulation = simulator::simulate(settings, "healthy");
    const auto pairs = diagnose::choose_rows(posed(simulation), 3, 600'000);
    std::vector<diagnose::HeadRow> all;
    for (std::int64_t head = 0; head < 3; ++head) {
      for (std::int64_t row = 0; row < queries; ++row) {
        all.emplace_back(head, row);
      }
    }
    CHECK(pairs == all);
  }
}

TEST_CASE("heads under suspicion are at most half of those looked at, and only chosen ones") {
  simulator::Settings settings;
  settings.heads = 8;
  settings.queries = 8;
  const auto simulation = simulator::simulate(settings, "healthy");
  auto problem = posed(simulation);
  const auto heads_of = [&](const std::vector<diagnose::HeadRow>& suspects) {
    std::set<std::int64_t> heads;
    for (const auto& pair : diagnose::choose_rows(problem, 4, 600'000, suspects)) {
      heads.insert(pair.first);
    }
    return heads;
  };
  const auto heads = heads_of({{6, 1}, {5, 2}, {3, 3}, {1, 4}});
  CHECK(heads.size() == 4);
  CHECK(heads.contains(6));
  CHECK(heads.contains(5));
  CHECK_FALSE((heads.contains(3) && heads.contains(1)));
  problem.heads = {0, 2, 4, 7};
  CHECK(heads_of({{6, 1}, {5, 2}}) == std::set<std::int64_t>{0, 2, 4, 7});
}

TEST_CASE(
    "a sequence of more queries than keys has no prefix, and one without keys is no trouble") {
  simulator::Settings settings;
  settings.queries = 30;
  auto simulation = simulator::simulate(settings, "healthy");
  // Queries 5 to 9 see one to five of the five keys, 0 to 4 none; the others have no key at all.
  simulation.capture.sequences = {{0, 10, 0, 5}, {10, 30, 5, 5}};
  const auto problem = posed(simulation);
  const auto sample = diagnose::make_sample(problem, simulation.capture,
                                            diagnose::choose_rows(problem, 3, 600'000));
  REQUIRE(sample);
  CHECK(sample->rows.size() == 15); // of three heads
  for (const auto& row : sample->rows) {
    INFO(row.row);
    CHECK(row.prefix == 0);
    CHECK(row.visible == static_cast<std::size_t>(row.row - 4));
  }
  CHECK(diagnosed(simulation).findings.size() < 10); // ends, and in little memory
}
