#include <mla_scale/engines/rule_tables.hpp>

#include <vector>

namespace mla_scale::engines {
namespace {

std::vector<EngineRule> join_tables() {
  std::vector<EngineRule> all;
  for (const std::span<const EngineRule> table :
       {vllm_rules(), transformers_rules(), serving_rules(), local_rules(), training_rules(),
        kernel_rules()}) {
    all.insert(all.end(), table.begin(), table.end());
  }
  return all;
}

} // namespace

std::string_view to_string(Certainty certainty) {
  switch (certainty) {
  case Certainty::read:
    return "read";
  case Certainty::reported:
    return "reported";
  case Certainty::inferred:
    return "inferred";
  }
  return "inferred";
}

std::span<const EngineRule> engine_rules() {
  static const std::vector<EngineRule> rules = join_tables();
  return rules;
}

const EngineRule* find_engine_rule(std::string_view id) {
  for (const EngineRule& rule : engine_rules()) {
    if (rule.id == id) {
      return &rule;
    }
  }
  return nullptr;
}

} // namespace mla_scale::engines
