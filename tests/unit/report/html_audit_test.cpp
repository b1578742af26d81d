#include "html_pages.hpp"

#include <mla_scale/audit/rule.hpp>
#include <mla_scale/report/audit_html.hpp>

using namespace mla_scale;
using namespace mla_scale::report;

namespace {

audit::Audit hostile_audit() {
  audit::Audit result;
  audit::Finding known;
  known.id = "MLA303";
  known.slug = "mscale-keys-differ";
  known.severity = audit::Severity::warning;
  known.message = k_hostile;
  known.path = "zoo/" + k_hostile;
  known.relative_path = k_hostile;
  known.pointer = k_hostile;
  known.position = {12, 5};
  audit::Finding nowhere = known;
  nowhere.severity = audit::Severity::error;
  nowhere.path = "zoo/m.gguf";
  nowhere.pointer.clear();
  nowhere.position = {};
  audit::Finding unknown = known; // as of a rule that another version has
  unknown.id = k_hostile;
  unknown.slug = k_hostile;
  unknown.severity = audit::Severity::note;
  result.findings = {known, nowhere, unknown};
  result.drift = {{k_hostile, k_hostile, k_hostile, k_hostile, std::int64_t{41}, {}}};
  result.engine_changes = {{k_hostile}, {}};
  result.stale = {{k_hostile, k_hostile, k_hostile, k_hostile, k_hostile, true},
                  {"MLA303", "p", "", "r", "", false}};
  audit::AuditedModel other;
  other.source = k_hostile;
  other.relative_path = k_hostile;
  other.outcome = audit::AuditedModel::Outcome::not_mla;
  other.reason = k_hostile;
  result.models = {other};
  audit::count_findings(result);
  return result;
}

} // namespace

TEST_CASE("whatever a zoo's names hold, the page of the audit stays a page", "[report]") {
  const Markup markup = checked_page(audit_html(hostile_audit()));
  CHECK(says(markup, "h3", "zoo/" + k_shown));
  CHECK(says(markup, "p", k_shown));
  CHECK(says(markup, "td", "not MLA: " + k_shown));
}

TEST_CASE("drift without an error is not called one", "[report]") {
  audit::Audit drifted;
  drifted.drift = {{"zoo/config.json", "config.json", "model", "missing", "present", {}}};
  CHECK(says(checked_page(audit_html(drifted)), "p", "Drift"));
  CHECK(says(checked_page(audit_html(hostile_audit())), "p", "Errors"));
}

TEST_CASE("findings stand below their file with rule, severity and place", "[report]") {
  const Markup markup = checked_page(audit_html(hostile_audit()));
  CHECK(says(markup, "h1", "1 error, 1 warning and 1 note in 0 models; 1 field drifted"));
  std::vector<std::string> order;
  for (const MarkupElement& element : markup.elements) {
    const auto css_class = element.attributes.find("class");
    if (css_class == element.attributes.end()) {
      continue;
    }
    if (css_class->second == "file") {
      order.push_back(element.attributes.at("data-path"));
    } else if (css_class->second.starts_with("finding ")) {
      order.push_back(element.attributes.at("data-rule") + " "
                      + element.attributes.at("data-severity"));
    }
  }
  CHECK(order
        == std::vector<std::string>{"zoo/" + k_shown, "MLA303 warning", k_shown + " note",
                                    "zoo/m.gguf", "MLA303 error"});
  CHECK(says(markup, "p", "line 12, column 5 " + k_shown));
}

TEST_CASE("each rule that was hit is explained once and linked to", "[report]") {
  const audit::Rule* rule = audit::find_rule("MLA303");
  REQUIRE(rule != nullptr);
  const Markup markup = checked_page(audit_html(hostile_audit()));
  CHECK(says(markup, "dd", std::string(rule->why)));
  CHECK(says(markup, "dd", std::string(rule->action)));
  const auto links = markup.named("a");
  CHECK(std::count_if(
            links.begin(), links.end(),
            [](const MarkupElement& link) { return link.attributes.at("href") == "#MLA303"; })
        == 3);
  CHECK(says(markup, "option", "MLA303 (2)"));
}

TEST_CASE("an audit without findings says so", "[report]") {
  audit::Audit fine;
  fine.summary.files = 2;
  fine.summary.models = 2;
  const Markup markup = checked_page(audit_html(fine));
  CHECK(says(markup, "h1", "0 errors, 0 warnings and 0 notes in 2 models"));
  CHECK(says(markup, "p", "None."));
  CHECK(markup.named("form").empty());
}
