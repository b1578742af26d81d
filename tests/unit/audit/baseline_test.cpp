#include "support/catch.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/audit/baseline.hpp>
#include <mla_scale/core/file.hpp>

#include <filesystem>

using namespace mla_scale;

namespace {

namespace fs = std::filesystem;

audit::Audit audited() {
  return audit::audit(std::vector{fs::path(TESTDATA) / "rules/MLA303/bad.json"}, {});
}

audit::Baseline accepting(std::string expires) {
  return {{{"MLA303", "bad.json", "/rope_scaling/mscale", "known", std::move(expires)}}};
}

} // namespace

TEST_CASE("a baseline accepts a finding by rule, file and pointer", "[audit]") {
  audit::Audit result = audited();
  audit::apply_baseline(result, accepting(""), "2026-01-01");
  CHECK(result.findings.empty());
  CHECK(result.summary.accepted == 1);
  CHECK(result.summary.warnings == 0);
  CHECK(result.stale.empty());
}

TEST_CASE("an entry holds on its last day and is reported afterwards", "[audit]") {
  audit::Audit last_day = audited();
  audit::apply_baseline(last_day, accepting("2026-03-31"), "2026-03-31");
  CHECK(last_day.findings.empty());
  audit::Audit next_day = audited();
  audit::apply_baseline(next_day, accepting("2026-03-31"), "2026-04-01");
  CHECK(next_day.findings.size() == 1);
  REQUIRE(next_day.stale.size() == 1);
  CHECK(next_day.stale.front().expired);
}

TEST_CASE("of two entries for one finding the one that still holds counts", "[audit]") {
  audit::Audit result = audited();
  audit::Baseline baseline = accepting("2026-03-31");
  baseline.accepted.push_back(accepting("").accepted.front());
  audit::apply_baseline(result, baseline, "2026-04-01");
  CHECK(result.findings.empty());
  CHECK(result.summary.accepted == 1);
  REQUIRE(result.stale.size() == 1);
  CHECK(result.stale.front().expires == "2026-03-31");
}

TEST_CASE("an entry that matches nothing is reported", "[audit]") {
  audit::Audit result = audited();
  audit::apply_baseline(result, {{{"MLA301", "bad.json", "/rope_scaling/mscale", "gone", ""}}},
                        "2026-01-01");
  CHECK(result.findings.size() == 1);
  REQUIRE(result.stale.size() == 1);
  CHECK(!result.stale.front().expired);
}

TEST_CASE("a written baseline accepts everything when it is read back", "[audit]") {
  const TempDir dir;
  audit::Audit result = audited();
  REQUIRE(write_file(dir / "b.json", audit::write_baseline(result, "first audit")));
  const Result<audit::Baseline> baseline = audit::read_baseline(dir / "b.json");
  REQUIRE(baseline);
  audit::apply_baseline(result, *baseline, "2026-01-01");
  CHECK(result.findings.empty());
  CHECK(result.stale.empty());
}

TEST_CASE("a baseline with an unknown rule, no reason or no date is an error with its place",
          "[audit]") {
  const TempDir dir;
  const auto error_of = [&](std::string_view entry) {
    REQUIRE(write_file(dir / "b.json",
                       "{\"schema_version\": 1, \"accepted\": [\n" + std::string(entry) + "]}"));
    const Result<audit::Baseline> read = audit::read_baseline(dir / "b.json");
    REQUIRE(!read);
    CHECK(read.error().position.line == 2);
    return read.error().message;
  };
  CHECK(error_of(R"({"rule": "MLA777", "path": "a", "reason": "x"})").find("no rule")
        != std::string::npos);
  CHECK(error_of(R"({"rule": "MLA303", "path": "a"})").find("reason") != std::string::npos);
  CHECK(error_of(R"({"rule": "MLA303", "path": "a", "reason": "x", "expires": "2026-02-30"})")
            .find("date")
        != std::string::npos);
}

TEST_CASE("only days of the calendar are dates", "[audit]") {
  CHECK(audit::is_date("2028-02-29"));
  CHECK(!audit::is_date("2026-02-29"));
  CHECK(!audit::is_date("2026-13-01"));
  CHECK(!audit::is_date("2026-1-01"));
  CHECK(!audit::is_date("26-01-0111"));
  CHECK(!audit::is_date(""));
}
