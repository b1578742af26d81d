#include "appended.hpp"

#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Expected values: the numbers that variants.cpp was told to inject, and weights by hand: a part of
// n keys of logit 0 has mass n, and is taken as n^slope.

using namespace mla_scale;
using namespace simulator;

namespace {

constexpr double k_log2e = 1.4426950408889634;

Candidates merges(const Settings& settings, const std::string& bug) {
  return appended(Examined(simulate(settings, bug)), diagnose::propose_merges);
}

bool has_parameter(const diagnose::Candidate& candidate, const std::string& name) {
  for (const auto& parameter : candidate.parts.front().parameters) {
    if (parameter.name == name) {
      return true;
    }
  }
  return false;
}

/// Values of `name` of the candidates that have it.
std::vector<double> all_numbers(const Candidates& all, const std::string& id,
                                const std::string& name) {
  std::vector<double> found;
  for (const auto& candidate : with_id(all, id)) {
    if (has_parameter(candidate, name)) {
      found.push_back(number(candidate.parts.front(), name));
    }
  }
  return found;
}

diagnose::Candidate with_parameter(const Candidates& all, const std::string& id,
                                   const std::string& name, double value) {
  for (const auto& candidate : with_id(all, id)) {
    if (has_parameter(candidate, name) && number(candidate.parts.front(), name) == value) {
      return candidate;
    }
  }
  FAIL("no " << id << " with " << name << " " << value);
  return {};
}

Settings with_prefix_of(std::int64_t prefix) {
  Settings settings = tiny();
  settings.prefix = prefix;
  return settings;
}

void check_weights(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t key = 0; key < got.size(); ++key) {
    INFO("key " << key);
    CHECK(got[key] == Approx(expected[key]).margin(1e-12));
  }
}

using List = std::vector<double>;

} // namespace

TEST_CASE("parts that meet behind the prefix are weighed by their lse times a slope",
          "[proposers]") {
  const auto all = merges(with_prefix_of(4), "healthy");
  const struct {
    const char* id;
    double slope;
  } slopes[] = {{"merge.base2", k_log2e}, {"merge.base_e", std::log(2.0)}, {"merge.average", 0.0}};
  for (const auto& [id, slope] : slopes) {
    const auto merged = with_parameter(all, id, "boundary", 4.0);
    CHECK(merged.cost == 1.0);
    CHECK(number(merged.parts.front(), "slope") == slope);
    check_weights(bent(merged, row_seeing(6, 8, 4)),
                  runs_of({{std::pow(4, slope - 1.0), 4}, {std::pow(2, slope - 1.0), 2}, {0, 2}}));
    // A row of a sequence without a prefix is one part.
    check_weights(bent(merged, row_seeing(6, 8)), runs_of({{std::pow(6, slope - 1.0), 6}, {0, 2}}));
  }
}

TEST_CASE("parts meet at any key, from the first to the last", "[proposers]") {
  for (const double at : {1.0, 6.0, 15.0}) {
    const auto all = merges(tiny(), "merge.base2:" + std::to_string(at));
    const auto boundaries = all_numbers(all, "merge.base2", "boundary");
    CHECK(boundaries == List{at});
  }
  const auto at_6 = with_parameter(merges(tiny(), "merge.base2:6"), "merge.base2", "boundary", 6.0);
  CHECK(at_6.cost == 6.0);
  CHECK(at_6.parts.front().evidence.find("parts: the keys before 6 and the rest")
        != std::string::npos);
  check_weights(
      bent(at_6, row_seeing(8, 9)),
      runs_of({{std::pow(6, k_log2e - 1.0), 6}, {std::pow(2, k_log2e - 1.0), 2}, {0, 1}}));
  // Of a row that ends before the other part there is one.
  check_weights(bent(at_6, row_seeing(5, 9)), runs_of({{std::pow(5, k_log2e - 1.0), 5}, {0, 4}}));
  check_weights(bent(at_6, row_seeing(6, 9)), runs_of({{std::pow(6, k_log2e - 1.0), 6}, {0, 3}}));
}

TEST_CASE("where the parts meet behind the only prefix it is said once", "[proposers]") {
  CHECK(all_numbers(merges(with_prefix_of(6), "merge.average"), "merge.average", "boundary")
        == List{6});
  // Elsewhere, both are proposed.
  CHECK(all_numbers(merges(with_prefix_of(6), "merge.average:9"), "merge.average", "boundary")
        == List{6, 9});
  // Sequences with other prefixes: what meets at one key in all of them is another bug.
  Examined examined(simulate(with_prefix_of(6), "merge.average"));
  examined.sample.rows.front().prefix = 5;
  CHECK(all_numbers(appended(examined, diagnose::propose_merges), "merge.average", "boundary")
        == List{5, 6});
}

TEST_CASE("chunks are found from 8 keys to all but one", "[proposers]") {
  for (const double chunk : {8.0, 10.0, 15.0}) {
    const auto all = merges(tiny(), "merge.base2:chunks:" + std::to_string(chunk));
    CHECK(all_numbers(all, "merge.base2", "chunk") == List{chunk});
  }
  CHECK(all_numbers(merges(tiny(), "merge.base2:chunks:7"), "merge.base2", "chunk") != List{7});
  // 8 keys or fewer are no two chunks of 8, 9 are.
  Settings settings = tiny();
  settings.queries = 8;
  CHECK(all_numbers(merges(settings, "healthy"), "merge.base2", "chunk").empty());
  settings.queries = 3;
  CHECK(all_numbers(merges(settings, "healthy"), "merge.base2", "chunk").empty());
  settings.queries = 9;
  CHECK(all_numbers(merges(settings, "healthy"), "merge.base2", "chunk") == List{8});
}

TEST_CASE("chunks are those of the prefix, or of all keys where there is none", "[proposers]") {
  Settings settings = with_prefix_of(20);
  const auto chunk = with_id(merges(settings, "merge.average:chunks"), "merge.average").back();
  CHECK(number(chunk.parts.front(), "chunk") == 11.0);
  CHECK(chunk.cost == 7.0);
  CHECK(chunk.parts.front().evidence.find("chunks of 11 keys") != std::string::npos);
  // 11, 9 and 3 keys, those behind the prefix together whatever their number.
  check_weights(bent(chunk, row_seeing(23, 30, 20)),
                runs_of({{1.0 / 11, 11}, {1.0 / 9, 9}, {1.0 / 3, 3}, {0, 7}}));
  check_weights(bent(chunk, row_seeing(40, 40, 14)),
                runs_of({{1.0 / 11, 11}, {1.0 / 3, 3}, {1.0 / 26, 26}}));
  check_weights(bent(chunk, row_seeing(24, 30)), runs_of({{1.0 / 11, 22}, {1.0 / 2, 2}, {0, 6}}));
}

TEST_CASE("a prefix of one key is a part", "[proposers]") {
  const auto all = merges(with_prefix_of(1), "merge.average");
  CHECK(all_numbers(all, "merge.average", "boundary") == List{1});
  CHECK(with_parameter(all, "merge.average", "boundary", 1.0).cost == 1.0); // not from a scan
  const auto chunk = with_id(merges(with_prefix_of(20), "merge.average:chunks"), "merge.average");
  check_weights(bent(chunk.back(), row_seeing(24, 30, 1)),
                runs_of({{1.0, 1}, {1.0 / 23, 23}, {0, 6}}));
}

TEST_CASE("parts of one row tell where they meet, however little one of them weighs",
          "[proposers]") {
  Settings settings = with_prefix_of(15);
  settings.queries = 1;
  for (const double at : {1.0, 2.0, 14.0}) {
    CHECK(all_numbers(merges(settings, "merge.average:" + std::to_string(at)), "merge.average",
                      "boundary")
          == List{15, at});
  }
}

TEST_CASE("keys before a boundary are dropped where the row sees more", "[proposers]") {
  for (const double first : {1.0, 6.0, 15.0}) {
    const auto all = merges(tiny(), "merge.context_dropped:" + std::to_string(first));
    CHECK(all_numbers(all, "merge.context_dropped", "boundary") == List{first});
  }
  const auto six = with_parameter(merges(tiny(), "merge.context_dropped:6"),
                                  "merge.context_dropped", "boundary", 6.0);
  CHECK(six.cost == 6.5);
  CHECK(six.parts.front().evidence == "keys before 6 take no part");
  CHECK(bent(six, row_seeing(8, 9)) == runs_of({{0, 6}, {1, 2}, {0, 1}}));
  CHECK(bent(six, row_seeing(6, 9)) == runs_of({{1, 6}, {0, 3}}));
  CHECK(bent(six, row_seeing(7, 9)) == runs_of({{0, 6}, {1, 1}, {0, 2}}));
}

TEST_CASE("a prefix that is dropped is proposed once, and where there is one alone",
          "[proposers]") {
  const auto all = merges(with_prefix_of(6), "merge.context_dropped");
  CHECK(all_numbers(all, "merge.context_dropped", "boundary") == List{6});
  const auto dropped = with_id(all, "merge.context_dropped")[0];
  CHECK(dropped.cost == 1.0);
  CHECK(bent(dropped, row_seeing(5, 6, 2)) == runs_of({{0, 2}, {1, 3}, {0, 1}}));
  CHECK(bent(dropped, row_seeing(5, 6)) == runs_of({{1, 5}, {0, 1}}));
  CHECK(all_numbers(merges(with_prefix_of(6), "merge.context_dropped:9"), "merge.context_dropped",
                    "boundary")
        == List{6, 9});
}

TEST_CASE("the lse beside wrongly merged parts may be the right one", "[proposers]") {
  const Examined examined(simulate(with_prefix_of(6), "healthy"));
  const auto& row = examined.sample.rows[9];
  const double right = examined.predictor.predict(examined.context.reference, row).lse;
  const auto merged = appended(examined, diagnose::propose_merges);
  REQUIRE_FALSE(merged.empty());
  for (const auto& candidate : merged) {
    REQUIRE(candidate.lse.size() == 1);
    CHECK(candidate.lse.front().text == "lse is the right one");
    CHECK(candidate.lse.front().lse(row) == Approx(right));
  }
}

TEST_CASE("a row of one key has no parts to merge", "[proposers]") {
  Settings settings = tiny();
  settings.queries = 1;
  CHECK(merges(settings, "healthy").empty());
}
