#include "appended.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Expected values: the pages that variants.cpp was told to change, and weights by hand.

using namespace mla_scale;
using namespace simulator;

namespace {

Candidates pages(const Settings& settings, const std::string& bug) {
  return appended(Examined(simulate(settings, bug)), diagnose::propose_pages);
}

/// What stands first for runs that take no part, that count twice, that hold zeros; then other
/// pages' content, and pages that moved up.
enum Which : std::size_t { missing, twice, zeroed, overwritten, moved };

/// A few rows of so many keys.
Settings long_rows(std::int64_t keys) {
  Settings settings = tiny();
  settings.nope = 2;
  settings.rope = 2;
  settings.value = 4;
  settings.queries = 4;
  settings.prefix = keys - 4;
  return settings;
}

struct Keys {
  double size;
  double first;
  double last;
  bool operator==(const Keys&) const = default;
};

Keys keys_of(const diagnose::Candidate& candidate) {
  const auto& part = candidate.parts.front();
  CHECK(number(part, "page") * number(part, "page_size") == number(part, "first_key"));
  return {number(part, "page_size"), number(part, "first_key"), number(part, "last_key")};
}

} // namespace

TEST_CASE("a page is found in each size that caches have", "[proposers]") {
  for (const std::size_t size : {8U, 16U, 32U, 64U, 128U, 256U}) {
    // Rows so long that no keys are tried one by one.
    const auto all = pages(long_rows(520), fmt::format("pages.missing:{},{}", size, 2 * size));
    REQUIRE(all.size() == 5);
    const auto part = all[missing].parts.front();
    CHECK(part.id == "pages.missing");
    CHECK(number(part, "page") == 1.0);
    CHECK(number(part, "page_size") == static_cast<double>(size));
    CHECK(number(part, "first_key") == static_cast<double>(size));
    CHECK(number(part, "last_key") == static_cast<double>(2 * size - 1));
    CHECK(part.evidence == fmt::format("keys {}..{} take no part", size, 2 * size - 1));
    CHECK(all[missing].cost == 6.0);
  }
}

TEST_CASE("up to 8 pages in a run are found, the first and the last among them", "[proposers]") {
  const auto run = [](const std::string& keys) {
    return keys_of(pages(long_rows(300), "pages.duplicated:twice:" + keys)[twice]);
  };
  CHECK(run("8,72") == Keys{8, 8, 71});
  CHECK_FALSE(run("8,80") == Keys{8, 8, 79});
  CHECK(run("0,8") == Keys{8, 0, 7});
  CHECK(run("296,300") == Keys{8, 296, 303}); // The last page is not full.
}

TEST_CASE("up to 64 single keys in a run are found in rows of up to 256", "[proposers]") {
  const auto found = [](std::int64_t keys, const std::string& gone) {
    return pages(long_rows(keys), "pages.missing:" + gone)[missing];
  };
  const auto most = found(256, "3,67");
  CHECK(keys_of(most) == Keys{1, 3, 66});
  CHECK(most.cost == 11.0); // where it begins and where it ends
  CHECK_FALSE(keys_of(found(256, "3,68")) == Keys{1, 3, 67});
  CHECK(keys_of(found(257, "3,67")).size > 1.0);
  CHECK(keys_of(found(256, "255,256")) == Keys{1, 255, 255});
}

TEST_CASE("another page's content is looked for in up to 4096 pairs of pages", "[proposers]") {
  // 64 pages of 8 keys: 4096 pairs.
  const auto all = pages(long_rows(512), "pages.duplicated:8,1,40");
  const auto part = all[overwritten].parts.front();
  CHECK(part.id == "pages.duplicated");
  CHECK(keys_of(all[overwritten]) == Keys{8, 8, 15});
  CHECK(number(part, "source_page") == 40.0);
  CHECK(part.evidence == "in place of keys 8..15 stand the keys from 320 on");
  CHECK(all[overwritten].cost == 11.0);
  CHECK(keys_of(pages(long_rows(513), "pages.duplicated:8,1,40")[overwritten]).size > 8.0);
}

TEST_CASE("the pages of an overwritten one go from the first to the last", "[proposers]") {
  const auto pair = [](const std::string& bug) {
    const auto all = pages(long_rows(36), bug);
    const auto& part = all[overwritten].parts.front();
    return std::vector{number(part, "page_size"), number(part, "page"),
                       number(part, "source_page")};
  };
  CHECK(pair("pages.duplicated:8,0,3") == std::vector{8.0, 0.0, 3.0});
  CHECK(pair("pages.duplicated:8,3,0") == std::vector{8.0, 3.0, 0.0});
  // The source has 4 keys, behind which nothing stands.
  CHECK(pair("pages.duplicated:8,1,4") == std::vector{8.0, 1.0, 4.0});
}

TEST_CASE("pages that moved up are found from the second page to the last", "[proposers]") {
  for (const std::size_t first : {1U, 2U, 4U}) {
    const auto all = pages(long_rows(36), fmt::format("pages.duplicated:shifted:8,{}", first));
    const auto part = all[moved].parts.front();
    CHECK(part.id == "pages.duplicated");
    CHECK(number(part, "page") == static_cast<double>(first));
    CHECK(number(part, "page_size") == 8.0);
    CHECK(number(part, "source_page") == static_cast<double>(first - 1));
    CHECK(number(part, "last_key") == static_cast<double>(8 * first + 7));
    CHECK(part.evidence
          == fmt::format("from key {} on stand the keys of one page before", 8 * first));
    CHECK(all[moved].cost == 6.0);
  }
}

TEST_CASE("what a changed page does to each key of a row", "[proposers]") {
  const auto lost = pages(long_rows(36), "pages.missing:8,16")[missing];
  CHECK(bent(lost, row_seeing(20, 24)) == runs_of({{1, 8}, {0, 8}, {1, 4}, {0, 4}}));
  CHECK(bent(lost, row_seeing(12, 24)) == runs_of({{1, 8}, {0, 16}}));
  const auto first = pages(long_rows(36), "pages.missing:0,8")[missing];
  CHECK(bent(first, row_seeing(20, 24)) == runs_of({{0, 8}, {1, 12}, {0, 4}}));
  const auto again = pages(long_rows(36), "pages.duplicated:twice:8,16")[twice];
  CHECK(again.parts.front().evidence == "keys 8..15 count twice");
  const auto counts = bent(again, row_seeing(20, 24));
  CHECK(counts[7] == Approx(1.0));
  CHECK(counts[8] == Approx(2.0));
  CHECK(counts[15] == Approx(2.0));
  CHECK(counts[16] == Approx(1.0));
  CHECK(counts[20] == 0.0);
  const auto other = pages(long_rows(36), "pages.duplicated:8,1,2")[overwritten];
  const auto read = bent(other, row_seeing(20, 24)); // Keys 20..23 are of the future.
  CHECK(read[7] == Approx(1.0));
  CHECK(read[8] == 0.0);
  CHECK(read[15] == 0.0);
  CHECK(read[16] == Approx(2.0));
  CHECK(read[19] == Approx(2.0));
  CHECK(read[20] == Approx(1.0));
  CHECK(read[23] == Approx(1.0));
  CHECK(bent(other, row_seeing(20, 22)).size() == 22); // Where the source ends early.
  const auto up = pages(long_rows(36), "pages.duplicated:shifted:8,1")[moved];
  const auto late = bent(up, row_seeing(20, 24));
  CHECK(late[7] == Approx(2.0));
  CHECK(late[8] == Approx(1.0));
  CHECK(late[11] == Approx(1.0));
  CHECK(late[12] == 0.0);
  CHECK(bent(up, row_seeing(5, 24)) == runs_of({{1, 5}, {0, 19}}));
}

TEST_CASE("pages of zeros leave as much mass as they have visible keys", "[proposers]") {
  Settings settings;
  settings.heads = 1;
  const auto zeros = pages(settings, "pages.missing:zeros")[zeroed];
  CHECK(keys_of(zeros) == Keys{8, 8, 15});
  CHECK(text(zeros.parts.front(), "content") == "zeros");
  CHECK(zeros.parts.front().evidence == "keys 8..15 hold zeros: logit 0, no value");
  REQUIRE(zeros.mechanism.extra_mass);
  CHECK(zeros.mechanism.extra_mass(row_seeing(20, 24)) == Approx(std::log(8.0)));
  CHECK(zeros.mechanism.extra_mass(row_seeing(11, 24)) == Approx(std::log(3.0)));
  CHECK(zeros.mechanism.extra_mass(row_seeing(8, 24)) == diagnose::k_hidden);
  CHECK(bent(zeros, row_seeing(20, 24)) == runs_of({{1, 8}, {0, 8}, {1, 4}, {0, 4}}));
}

TEST_CASE("pages that no row sees are not proposed, nor those that hold no key", "[proposers]") {
  for (const std::int64_t keys : {36, 40}) {
    for (const auto& candidate : pages(long_rows(keys), "healthy")) {
      CHECK(number(candidate.parts.front(), "first_key") < static_cast<double>(keys));
    }
    const auto lost = pages(long_rows(keys), "pages.missing:8,16")[overwritten];
    CHECK(number(lost.parts.front(), "source_page") * number(lost.parts.front(), "page_size")
          < static_cast<double>(keys));
  }
}

TEST_CASE("single keys are not looked for elsewhere", "[proposers]") {
  const auto up = pages(long_rows(36), "pages.duplicated:shifted:1,5");
  CHECK(number(up[moved].parts.front(), "page_size") > 1.0);
  CHECK(number(up[overwritten].parts.front(), "page_size") > 1.0);
}

TEST_CASE("one row alone tells which page is lost, counts twice or stands elsewhere",
          "[proposers]") {
  Settings settings = long_rows(36);
  settings.queries = 1;
  settings.prefix = 35;
  CHECK(keys_of(pages(settings, "pages.missing:8,16")[missing]) == Keys{8, 8, 15});
  CHECK(keys_of(pages(settings, "pages.duplicated:twice:8,16")[twice]) == Keys{8, 8, 15});
  CHECK(keys_of(pages(settings, "pages.duplicated:8,1,3")[overwritten]) == Keys{8, 8, 15});
  CHECK(keys_of(pages(settings, "pages.duplicated:shifted:8,2")[moved]) == Keys{8, 16, 23});
}
