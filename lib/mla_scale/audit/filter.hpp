#pragma once

#include <mla_scale/audit/rule.hpp>

#include <string>
#include <vector>

namespace mla_scale::audit {

/// Which rules speak: --select and --ignore.
struct RuleFilter {
  std::vector<std::string> select; ///< ids, beginnings of ids ("MLA2") or slugs; empty means all
  std::vector<std::string> ignore; ///< likewise; wins over select

  /// Rules about unreadable input (MLA9xx) are on unless ignored: what cannot be read cannot be
  /// selected away by accident.
  [[nodiscard]] bool allows(const Rule& rule) const;
};

/// Whether some rule answers to this id, beginning of an id or slug.
[[nodiscard]] bool names_a_rule(std::string_view name);

} // namespace mla_scale::audit
