#include <mla_scale/audit/rule.hpp>
#include <mla_scale/report/audit_html.hpp>
#include <mla_scale/report/drift.hpp>
#include <mla_scale/report/html/markup.hpp>
#include <mla_scale/report/html/page.hpp>
#include <mla_scale/report/html/table.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>

#include <map>

namespace mla_scale::report {
namespace {

using audit::AuditedModel;
using audit::Finding;
using audit::Severity;
using html::k_name;
using html::k_number;
using html::k_place;
using html::k_prose;
using html::k_text;
using html::Table;

std::string_view class_of(Severity severity) {
  return severity == Severity::error ? "bad" : severity == Severity::warning ? "warn" : "muted";
}

std::string badge(Severity severity) {
  return html::badge(class_of(severity), audit::to_string(severity));
}

std::string top(const audit::Audit& audit) {
  const audit::Summary& summary = audit.summary;
  const bool bad = summary.errors > 0 || !audit.drift.empty();
  const bool warned = summary.warnings > 0;
  std::string sentence =
      fmt::format("{}, {} and {} in {}", html::counted(summary.errors, "error"),
                  html::counted(summary.warnings, "warning"), html::counted(summary.notes, "note"),
                  html::counted(summary.models, "model"));
  if (!audit.drift.empty()) {
    sentence += fmt::format("; {} drifted", html::counted(audit.drift.size(), "field"));
  }
  return html::verdict(bad      ? "bad"
                       : warned ? "warn"
                                : "good",
                       summary.errors > 0     ? "Errors"
                       : !audit.drift.empty() ? "Drift"
                       : warned               ? "Warnings"
                                              : "Fine",
                       sentence)
         + html::definitions({{"Model files", fmt::format("{}", summary.files)},
                              {"With MLA", fmt::format("{}", summary.models)},
                              {"Without", fmt::format("{}", summary.not_mla)},
                              {"Unreadable", fmt::format("{}", summary.failed)},
                              {"Accepted by the baseline", fmt::format("{}", summary.accepted)}},
                             "facts");
}

std::string drift(const audit::Audit& audit) {
  Table table("Not as in the snapshot",
              {{"Model", k_place}, {"Field", k_name}, {"Snapshot", k_text}, {"Now", k_text}});
  for (const audit::Drift& one : audit.drift) {
    table.add({{html::code(place(one.path, one.position))},
               {html::code(one.field)},
               {html::code(audit::to_string(one.expected))},
               {html::code(audit::to_string(one.actual))}});
  }
  std::string text = table.empty() ? "" : table.markup();
  for (const std::string& sentence : sentences(audit.engine_changes)) {
    text += html::paragraph(xml_text(sentence));
  }
  return text.empty() ? "" : html::section("drift", "Drift", text);
}

std::string baseline(const audit::Audit& audit) {
  Table table("Entries of the baseline that no longer hold", {{"Rule", k_name},
                                                              {"File", k_place},
                                                              {"At", k_name},
                                                              {"Reason", k_prose},
                                                              {"What is the matter", k_prose}});
  for (const audit::StaleEntry& entry : audit.stale) {
    table.add({{html::code(entry.rule)},
               {html::code(entry.path)},
               {html::code(entry.pointer)},
               {xml_text(entry.reason)},
               {entry.expired ? "accepted until " + xml_text(entry.expires) + ", still there"
                              : "no longer found; remove the entry"}});
  }
  return table.empty() ? "" : html::section("baseline", "Baseline", table.markup());
}

/// How often each rule has something to say, in the order of ids.
std::map<std::string, std::size_t> hits_by_rule(const audit::Audit& audit) {
  std::map<std::string, std::size_t> hits;
  for (const Finding& finding : audit.findings) {
    ++hits[finding.id];
  }
  return hits;
}

std::string filter(const std::map<std::string, std::size_t>& hits) {
  std::string rules = "<option value=\"\">all rules</option>";
  for (const auto& [id, count] : hits) {
    rules += fmt::format("<option value=\"{0}\">{0} ({1})</option>", xml_text(id), count);
  }
  std::string severities;
  for (const Severity severity : {Severity::error, Severity::warning, Severity::note}) {
    severities += fmt::format("<label><input type=\"checkbox\" name=\"severity\" value=\"{0}\" "
                              "checked=\"\"/>{0}</label>\n",
                              audit::to_string(severity));
  }
  return fmt::format("<form id=\"filter\" class=\"filter\" hidden=\"\">\n"
                     "<fieldset><legend>Severity</legend>\n{}</fieldset>\n"
                     "<label>Rule <select name=\"rule\">{}</select></label>\n"
                     "<label>Text <input type=\"search\" name=\"text\"/></label>\n"
                     "<span id=\"shown\" role=\"status\" class=\"muted\"></span>\n</form>\n",
                     severities, rules);
}

std::string finding_markup(const Finding& finding) {
  const std::string position =
      finding.position.line == 0
          ? ""
          : fmt::format("line {}, column {} ", finding.position.line, finding.position.column);
  const std::string at =
      finding.pointer.empty() && position.empty()
          ? ""
          : html::paragraph(position + (finding.pointer.empty() ? "" : html::code(finding.pointer)),
                            "muted");
  const std::string rule = audit::find_rule(finding.id) == nullptr
                               ? html::code(finding.id)
                               : fmt::format("<a href=\"#{0}\">{0}</a>", xml_text(finding.id));
  return fmt::format("<div class=\"finding {0}\" data-severity=\"{0}\" data-rule=\"{1}\">\n"
                     "<p>{2} {3} {4}</p>\n{5}{6}</div>\n",
                     audit::to_string(finding.severity), xml_text(finding.id),
                     badge(finding.severity), rule, html::code(finding.slug),
                     html::paragraph(xml_text(finding.message)), at);
}

std::string findings(const audit::Audit& audit) {
  if (audit.findings.empty()) {
    return html::section("findings", "Findings", html::paragraph("None."));
  }
  // By file, in the order in which files first appear: findings come sorted by model.
  std::vector<std::string> order;
  std::map<std::string, std::string> by_file;
  for (const Finding& finding : audit.findings) {
    std::string& of_file = by_file[finding.path];
    if (of_file.empty()) {
      order.push_back(finding.path);
    }
    of_file += finding_markup(finding);
  }
  std::string text = filter(hits_by_rule(audit));
  for (const std::string& path : order) {
    text += fmt::format("<div class=\"file\" data-path=\"{0}\">\n<h3><code>{0}</code></h3>\n{1}"
                        "</div>\n",
                        xml_text(path), by_file[path]);
  }
  return html::section("findings", "Findings", text);
}

std::string rule_overview(const audit::Audit& audit) {
  Table table("",
              {{"Rule", k_name}, {"Severity", k_text}, {"Findings", k_number}, {"What", k_prose}});
  for (const auto& [id, count] : hits_by_rule(audit)) {
    if (const audit::Rule* rule = audit::find_rule(id)) {
      table.add(
          {{fmt::format("<a href=\"#{0}\">{0}</a> {1}", xml_text(id), html::code(rule->slug))},
           {badge(rule->severity), static_cast<double>(rule->severity)},
           html::number_cell(static_cast<double>(count), 12),
           {xml_text(rule->title)}});
    }
  }
  return table.empty() ? "" : html::section("by-rule", "By rule", table.markup());
}

std::string rules(const audit::Audit& audit) {
  std::string text;
  for (const auto& hit : hits_by_rule(audit)) {
    const audit::Rule* rule = audit::find_rule(hit.first);
    if (rule == nullptr) {
      continue;
    }
    text +=
        fmt::format("<h3 id=\"{0}\">{0} {1}</h3>\n", rule->id, html::code(rule->slug))
        + html::paragraph(xml_text(rule->title))
        + html::definitions({{"Why", xml_text(rule->why)},
                             {"Do", xml_text(rule->action)},
                             {"Example", rule->example.empty() ? "" : html::code(rule->example)},
                             {"Sources", xml_text(rule->sources)}});
  }
  return text.empty() ? "" : html::section("rules", "The rules", text);
}

std::string models(const audit::Audit& audit) {
  std::map<std::string, std::size_t> counts;
  for (const Finding& finding : audit.findings) {
    ++counts[finding.relative_path];
  }
  Table table("", {{"File", k_place}, {"Kind", k_prose}, {"Findings", k_number}});
  for (const AuditedModel& model : audit.models) {
    const auto found = counts.find(model.relative_path);
    const std::string kind = model.outcome == AuditedModel::Outcome::mla ? "MLA"
                             : model.outcome == AuditedModel::Outcome::not_mla
                                 ? "not MLA: " + xml_text(model.reason)
                                 : "failed: " + xml_text(model.reason);
    table.add(
        {{html::code(model.source)},
         {kind},
         html::number_cell(found == counts.end() ? 0.0 : static_cast<double>(found->second), 12)});
  }
  return table.empty() ? ""
                       : html::section("models", "Model files",
                                       html::details(html::counted(audit.models.size(), "file"),
                                                     table.markup()));
}

} // namespace

std::string audit_html(const audit::Audit& audit) {
  const audit::Summary& summary = audit.summary;
  return html::page(fmt::format("audit: {}, {}", html::counted(summary.errors, "error"),
                                html::counted(summary.warnings, "warning")),
                    top(audit) + drift(audit) + rule_overview(audit) + findings(audit)
                        + baseline(audit) + models(audit) + rules(audit));
}

} // namespace mla_scale::report
