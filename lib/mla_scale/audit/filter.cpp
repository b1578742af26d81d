#include <mla_scale/audit/filter.hpp>

#include <algorithm>

namespace mla_scale::audit {
namespace {

bool answers_to(const Rule& rule, std::string_view name) {
  return !name.empty() && (rule.id.starts_with(name) || rule.slug == name);
}

bool listed(const Rule& rule, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return answers_to(rule, name); });
}

} // namespace

bool RuleFilter::allows(const Rule& rule) const {
  const bool input = rule.id.starts_with("MLA9");
  return (select.empty() || input || listed(rule, select)) && !listed(rule, ignore);
}

bool names_a_rule(std::string_view name) {
  const std::span<const Rule> all = rules();
  return std::any_of(all.begin(), all.end(),
                     [&](const Rule& rule) { return answers_to(rule, name); });
}

} // namespace mla_scale::audit
