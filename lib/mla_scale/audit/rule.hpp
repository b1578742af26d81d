#pragma once

#include <mla_scale/audit/finding.hpp>
#include <mla_scale/audit/subject.hpp>

#include <span>
#include <string_view>

namespace mla_scale::audit {

/// One row of the rules table.
struct Rule {
  std::string_view id; ///< MLA1xx dims, 2xx rope, 3xx scale, 4xx across files, 9xx input
  std::string_view slug;
  Severity severity = Severity::warning;
  std::string_view title;   ///< one line: what is the matter
  std::string_view why;     ///< why it matters
  std::string_view example; ///< a config, or what one reads like
  std::string_view action;  ///< what to do, as an instruction
  std::string_view sources; ///< files at commits, issues
  /// Looks at one config. Null for rules that are raised while files are read (4xx, 9xx).
  void (*check)(const Subject& subject, Hits& hits) = nullptr;
  /// Ids of more specific rules, separated by spaces: where one of them is on and has something to
  /// say, this one is silent, so that one fault is one finding.
  std::string_view silent_with = {};
};

/// Every rule, in the order of ids.
[[nodiscard]] std::span<const Rule> rules();

/// The rule with this id ("MLA203") or slug; null when there is none.
[[nodiscard]] const Rule* find_rule(std::string_view id_or_slug);

} // namespace mla_scale::audit
