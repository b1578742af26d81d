#include "providers.hpp"

#include <mla_scale/audit/rule.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/scale/law.hpp>

#include <algorithm>
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

const Entry* entry_of(std::string_view id) {
  const auto& all = entries();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Entry& entry) { return entry.id == id; });
  return found != all.end() ? &*found : nullptr;
}

/// The law that this word of a report or a config stands for; empty when there is none.
std::string_view law_of_word(std::string_view word) {
  for (const scale::Law& law : scale::laws()) {
    const std::string_view words = law.words;
    for (std::size_t at = 0; at < words.size();) {
      const std::size_t end = std::min(words.find(' ', at), words.size());
      if (words.substr(at, end - at) == word) {
        return law.id;
      }
      at = end + 1;
    }
  }
  return {};
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
  const Entry* entry = entry_of(rule != nullptr ? rule->id : id);
  return entry != nullptr ? entry : entry_of(law_of_word(id));
}

std::string_view nearest_entry(std::string_view id) {
  std::vector<std::string_view> names;
  for (const Entry& entry : entries()) {
    names.push_back(entry.id);
  }
  for (const audit::Rule& rule : audit::rules()) {
    names.push_back(rule.slug);
  }
  return likely_name(id, names);
}

} // namespace mla_scale::explain
