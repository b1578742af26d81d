#include <mla_scale/report/engine_comparison.hpp>

namespace mla_scale::report {

EngineComparison compare_engines(const Inspection& inspection,
                                 std::span<const engines::EngineRule* const> rules) {
  EngineComparison comparison;
  comparison.inspection = &inspection;
  const model::MlaConfig* config = inspection.model.config();
  if (config == nullptr) {
    return comparison;
  }
  const scale::SoftmaxScale* law = inspection.scale ? &*inspection.scale : nullptr;
  comparison.values.reserve(rules.size());
  for (const engines::EngineRule* rule : rules) {
    comparison.values.push_back(engines::evaluate(*rule, *config, law));
  }
  return comparison;
}

EngineCounts count_engines(const EngineComparison& comparison) {
  EngineCounts counts;
  for (const engines::EngineValue& value : comparison.values) {
    if (!value.error.empty()) {
      ++counts.fail;
    } else if (!value.agrees) {
      ++counts.not_taken;
    } else if (*value.agrees) {
      ++counts.agree;
    } else {
      ++counts.differ;
    }
  }
  return counts;
}

} // namespace mla_scale::report
