#pragma once

#include <mla_scale/explain/entry.hpp>

namespace mla_scale::explain {

// One provider for each table. A new table is a new function here and a line in entry.cpp.

[[nodiscard]] std::vector<Entry> rule_entries();
[[nodiscard]] std::vector<Entry> engine_entries();
[[nodiscard]] std::vector<Entry> family_entries();
[[nodiscard]] std::vector<Entry> law_entries();
[[nodiscard]] std::vector<Entry> hypothesis_entries();

/// Adds a section unless its text is empty.
void add_section(Entry& entry, std::string_view label, std::string_view text);

} // namespace mla_scale::explain
