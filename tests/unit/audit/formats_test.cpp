// What the machine-readable formats must have, whatever the findings are: the required properties
// of the SARIF 2.1.0 schema, the shape of the usual JUnit xsd, GitHub's workflow commands.

#include "support/catch.hpp"

#include <mla_scale/json/document.hpp>
#include <mla_scale/report/audit_github.hpp>
#include <mla_scale/report/audit_json.hpp>
#include <mla_scale/report/audit_junit.hpp>
#include <mla_scale/report/audit_sarif.hpp>
#include <mla_scale/report/audit_text.hpp>

using namespace mla_scale;

namespace {

audit::Audit sample() {
  audit::Audit result;
  audit::Finding known;
  known.id = "MLA303";
  known.slug = "mscale-keys-differ";
  known.severity = audit::Severity::warning;
  known.message = "50% of <engines> & others\x1B[31m";
  known.path = "zoo/a b/config.json";
  known.relative_path = "a b/config.json";
  known.pointer = "/rope_scaling/mscale";
  known.position = {12, 5};
  known.help = "look";
  audit::Finding unknown_place = known;
  unknown_place.id = "MLA261";
  unknown_place.severity = audit::Severity::note;
  unknown_place.path = "zoo/m.gguf";
  unknown_place.relative_path = "m.gguf";
  unknown_place.position = {};
  audit::Finding broken = known;
  broken.id = "MLA902";
  broken.slug = "input-syntax";
  broken.severity = audit::Severity::error;
  broken.path = "/abs/x.json";
  broken.relative_path = "x.json";
  broken.pointer.clear();
  result.findings = {known, unknown_place, broken};
  result.drift = {{"zoo/a b/config.json",
                   "a b/config.json",
                   "/rope_scaling/factor",
                   std::int64_t{40},
                   std::int64_t{41},
                   {9, 30}}};
  result.engine_changes = {{"new,engine"}, {"old"}};
  audit::AuditedModel other;
  other.relative_path = "q/config.json";
  other.outcome = audit::AuditedModel::Outcome::not_mla;
  other.reason = "not MLA: \"Qwen\"";
  result.models.push_back(other);
  audit::count_findings(result);
  return result;
}

json::Document parsed(std::string text) {
  Result<json::Document> document = json::Document::parse(std::move(text), "report");
  REQUIRE(document);
  return *std::move(document);
}

json::Value at(json::Value value, std::initializer_list<std::string_view> path) {
  for (const std::string_view step : path) {
    const std::optional<json::Value> next = step == "0" ? value.first() : value.find(step);
    INFO("no " << step << " in " << value.pointer());
    REQUIRE(next);
    value = *next;
  }
  return value;
}

std::size_t occurrences(const std::string& text, std::string_view what) {
  std::size_t count = 0;
  for (std::size_t i = text.find(what); i != std::string::npos; i = text.find(what, i + 1)) {
    ++count;
  }
  return count;
}

} // namespace

TEST_CASE("SARIF has what its schema requires and tells places only as far as they are known",
          "[audit]") {
  const json::Document document = parsed(report::audit_sarif(sample()));
  const json::Value root = document.root();
  CHECK(*at(root, {"version"}).as_string() == "2.1.0");
  CHECK(*at(root, {"runs", "0", "tool", "driver", "name"}).as_string() == "mla-scale");
  const json::Value rules = at(root, {"runs", "0", "tool", "driver", "rules"});
  const json::Value results = at(root, {"runs", "0", "results"});
  CHECK(rules.size() == 4);
  REQUIRE(results.size() == 4);
  std::vector<std::string> rule_ids;
  for (std::optional<json::Value> rule = rules.first(); rule; rule = rule->next()) {
    rule_ids.emplace_back(*at(*rule, {"id"}).as_string());
    CHECK(!at(*rule, {"help", "text"}).as_string()->empty());
    CHECK(!at(*rule, {"shortDescription", "text"}).as_string()->empty());
  }
  for (std::optional<json::Value> result = results.first(); result; result = result->next()) {
    CHECK(!at(*result, {"message", "text"}).as_string()->empty());
    const std::string_view level = *at(*result, {"level"}).as_string();
    CHECK((level == "note" || level == "warning" || level == "error"));
    const auto index = static_cast<std::size_t>(*at(*result, {"ruleIndex"}).as_integer());
    CHECK(rule_ids.at(index) == *at(*result, {"ruleId"}).as_string());
    CHECK(at(*result, {"partialFingerprints"}).size() == 1);
  }
  const json::Value first = at(results, {"0", "locations", "0"});
  CHECK(*at(first, {"physicalLocation", "artifactLocation", "uri"}).as_string()
        == "zoo/a%20b/config.json");
  CHECK(*at(first, {"physicalLocation", "region", "startLine"}).as_integer() == 12);
  CHECK(*at(first, {"physicalLocation", "region", "startColumn"}).as_integer() == 5);
  CHECK(*at(first, {"logicalLocations", "0", "fullyQualifiedName"}).as_string()
        == "/rope_scaling/mscale");
  const json::Value second = at(*results.first()->next(), {"locations", "0"});
  CHECK(!at(second, {"physicalLocation"}).find("region"));
  const json::Value third = at(*results.first()->next()->next(), {"locations", "0"});
  CHECK(*at(third, {"physicalLocation", "artifactLocation", "uri"}).as_string()
        == "file:///abs/x.json");
  const json::Value drift = at(*results.first()->next()->next()->next(), {"locations", "0"});
  CHECK(*at(drift, {"physicalLocation", "artifactLocation", "uri"}).as_string()
        == "zoo/a%20b/config.json");
  CHECK(*at(drift, {"physicalLocation", "region", "startLine"}).as_integer() == 9);
}

TEST_CASE("a fingerprint does not depend on the line", "[audit]") {
  audit::Audit moved = sample();
  moved.findings.front().position = {99, 1};
  const json::Document before = parsed(report::audit_sarif(sample()));
  const json::Document after = parsed(report::audit_sarif(moved));
  const auto fingerprint = [](const json::Document& document) {
    return std::string(*at(document.root(), {"runs", "0", "results", "0", "partialFingerprints",
                                             "ruleFilePointer/v1"})
                            .as_string());
  };
  CHECK(fingerprint(before) == fingerprint(after));
}

TEST_CASE("JUnit counts failures, errors and skipped tests, and escapes", "[audit]") {
  const std::string text = report::audit_junit(sample(), audit::Severity::error);
  CHECK(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "));
  CHECK(text.find("<testsuites name=\"mla-scale audit\" tests=\"5\" failures=\"1\" errors=\"1\" "
                  "skipped=\"1\">")
        != std::string::npos);
  CHECK(occurrences(text, "<testcase ") == 5);
  CHECK(occurrences(text, "<testsuite ") == occurrences(text, "</testsuite>"));
  CHECK(occurrences(text, "<failure ") == 1);
  CHECK(occurrences(text, "<error ") == 1);
  CHECK(occurrences(text, "<system-out>") == 2);
  CHECK(text.find("50% of &lt;engines&gt; &amp; others\\x1b[31m") != std::string::npos);
  CHECK(text.find("not MLA: &quot;Qwen&quot;") != std::string::npos);
  const std::string strict = report::audit_junit(sample(), audit::Severity::note);
  CHECK(occurrences(strict, "<failure ") == 3);
  CHECK(occurrences(report::audit_junit(sample(), std::nullopt), "<failure ") == 1);
}

TEST_CASE("GitHub annotations carry file, line and column and escape what ends a field",
          "[audit]") {
  const std::string text = report::audit_github(sample());
  CHECK(
      text
      == "::warning file=zoo/a b/config.json,line=12,col=5,title=MLA303 "
         "mscale-keys-differ::50%25 of <engines> & others\\x1b[31m\n"
         "::notice file=zoo/m.gguf,title=MLA261 mscale-keys-differ::50%25 of <engines> & "
         "others\\x1b[31m\n"
         "::error file=/abs/x.json,line=12,col=5,title=MLA902 input-syntax::50%25 of <engines> & "
         "others\\x1b[31m\n"
         "::error file=zoo/a b/config.json,line=9,col=30,title=drift::/rope_scaling/factor was 40 "
         "in the snapshot and is 41 now\n"
         "::notice title=snapshot::engines that the snapshot does not know, so not compared: "
         "new,engine; --bless records them\n"
         "::notice title=snapshot::engines of the snapshot that this version does not know, so "
         "not compared: old\n");
}

TEST_CASE("GitHub and SARIF name files below the checkout, and none for standard input",
          "[audit]") {
  audit::Audit result;
  audit::Finding finding = sample().findings.front();
  finding.path = "./v3/config.json";
  result.findings = {finding};
  finding.path = "-";
  result.findings.push_back(finding);
  result.stale = {{"MLA303", "a", "/b", "known", "2026-03-31", true}};
  const std::string text = report::audit_github(result);
  CHECK(text.starts_with("::warning file=v3/config.json,line=12,col=5,title=MLA303 "));
  CHECK(text.find("\n::warning title=MLA303 mscale-keys-differ::") != std::string::npos);
  CHECK(text.ends_with("::warning title=baseline::MLA303 at /b in a was accepted until 2026-03-31 "
                       "and is still there\n"));
  const json::Document document = parsed(report::audit_sarif(result));
  const json::Value place = at(document.root(), {"runs", "0", "results", "0", "locations", "0"});
  CHECK(*at(place, {"physicalLocation", "artifactLocation", "uri"}).as_string()
        == "v3/config.json");
}

TEST_CASE("JSON has null where a line is not known, and the counts", "[audit]") {
  const json::Document document = parsed(report::audit_json(sample()));
  const json::Value root = document.root();
  CHECK(*at(root, {"schema_version"}).as_integer() == 1);
  CHECK(*at(root, {"findings", "0", "line"}).as_integer() == 12);
  CHECK(at(*at(root, {"findings", "0"}).next(), {"line"}).is_null());
  CHECK(*at(root, {"drift", "0", "field"}).as_string() == "/rope_scaling/factor");
  CHECK(*at(root, {"summary", "warnings"}).as_integer() == 1);
  CHECK(*at(root, {"summary", "errors"}).as_integer() == 1);
}

TEST_CASE("JSON has the drift as the values that it is between, at a place as findings have it",
          "[audit]") {
  const json::Document document = parsed(report::audit_json(sample()));
  const json::Value drift = at(document.root(), {"drift", "0"});
  CHECK(*at(drift, {"path"}).as_string() == "zoo/a b/config.json");
  CHECK(*at(drift, {"expected"}).as_integer() == 40);
  CHECK(*at(drift, {"actual"}).as_integer() == 41);
  CHECK(*at(drift, {"line"}).as_integer() == 9);
  CHECK(*at(drift, {"column"}).as_integer() == 30);
  CHECK(*at(document.root(), {"engine_changes", "added", "0"}).as_string() == "new,engine");
  CHECK(*at(document.root(), {"engine_changes", "gone", "0"}).as_string() == "old");
}

TEST_CASE("text never lets a control character through", "[audit]") {
  const std::string text = report::audit_text(sample(), {});
  CHECK(text.find('\x1B') == std::string::npos);
  CHECK(text.find("zoo/a b/config.json:12:5: warning MLA303 [mscale-keys-differ]: ")
        != std::string::npos);
  CHECK(text.find("zoo/a b/config.json:9:30: drift: /rope_scaling/factor was 40 in the snapshot "
                  "and is 41 now")
        != std::string::npos);
}
