#include "tables.hpp"

#include <algorithm>
#include <vector>

namespace mla_scale::audit {
namespace {

std::vector<Rule> join_tables() {
  std::vector<Rule> joined;
  for (const std::span<const Rule> table :
       {width_rules(), layout_rules(), gguf_rules(), rope_spelling_rules(), rope_value_rules(),
        rope_engine_rules(), mscale_rules(), scale_rules(), engine_rules(), file_rules(),
        input_rules()}) {
    joined.insert(joined.end(), table.begin(), table.end());
  }
  std::sort(joined.begin(), joined.end(),
            [](const Rule& left, const Rule& right) { return left.id < right.id; });
  return joined;
}

} // namespace

std::span<const Rule> rules() {
  static const std::vector<Rule> k_rules = join_tables();
  return k_rules;
}

const Rule* find_rule(std::string_view id_or_slug) {
  const std::span<const Rule> all = rules();
  const auto by_id =
      std::lower_bound(all.begin(), all.end(), id_or_slug,
                       [](const Rule& rule, std::string_view id) { return rule.id < id; });
  if (by_id != all.end() && by_id->id == id_or_slug) {
    return &*by_id;
  }
  const auto by_slug = std::find_if(all.begin(), all.end(),
                                    [&](const Rule& rule) { return rule.slug == id_or_slug; });
  return by_slug != all.end() ? &*by_slug : nullptr;
}

} // namespace mla_scale::audit
