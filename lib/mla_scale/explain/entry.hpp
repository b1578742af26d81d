#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::explain {

/// One paragraph of an explanation.
struct Section {
  std::string label; ///< "formula", "why", "example", "sources"
  std::string text;
};

/// Everything that is known under one identifier. Made from the row that the program works with, so
/// that it cannot say anything else.
struct Entry {
  std::string id;
  std::string kind; ///< "rule", "engine", "family", "law", "hypothesis"
  std::string title;
  std::vector<Section> sections;
};

/// Every entry of every table, by kind and then in the table's order.
[[nodiscard]] const std::vector<Entry>& entries();

/// The entry with this identifier, a rule by its slug, or the law that a word of the reports stands
/// for ("mscale"); null when there is none.
[[nodiscard]] const Entry* find_entry(std::string_view id);

/// The identifier that was probably meant; empty when none is near.
[[nodiscard]] std::string_view nearest_entry(std::string_view id);

} // namespace mla_scale::explain
