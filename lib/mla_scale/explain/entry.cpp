#include "providers.hpp"

#include <mla_scale/audit/rule.hpp>
#include <mla_scale/core/text.hpp>

#include <iterator>

namespace mla_scale::explain {
namespace {

using Provider = std::vector<Entry> (*)();

constexpr Provider k_providers[] = {law_entries, rule_entries, family_entries, engine_entries,
                                    hypothesis_entries};

std::vector<Entry> collect() {
  std::vector<Entry> all;
  for (const Provider provider : k_providers) {
    std::vector<Entry> part = provider();
    std::move(part.begin(), part.end(), std::back_inserter(all));
  }
  return all;
}

} // namespace

void add_section(Entry& entry, std::string_view label, std::string_view text) {
  if (!text.empty()) {
    entry.sections.push_back({std::string(label), std::string(text)});
  }
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> k_entries = collect();
  return k_entries;
}

const Entry* find_entry(std::string_view id) {
  const audit::Rule* rule = audit::find_rule(id);
  const std::string_view wanted = rule != nullptr ? rule->id : id;
  for (const Entry& entry : entries()) {
    if (entry.id == wanted) {
      return &entry;
    }
  }
  return nullptr;
}

std::string_view nearest_entry(std::string_view id) {
  std::vector<std::string_view> names;
  for (const Entry& entry : entries()) {
    names.push_back(entry.id);
  }
  for (const audit::Rule& rule : audit::rules()) {
    names.push_back(rule.slug);
  }
  return closest_match(id, names);
}

} // namespace mla_scale::explain
