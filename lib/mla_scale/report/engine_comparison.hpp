#pragma once

#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/report/inspection.hpp>

#include <span>
#include <vector>

namespace mla_scale::report {

/// One model beside what every chosen engine rule makes of it.
struct EngineComparison {
  const Inspection* inspection = nullptr;
  std::vector<engines::EngineValue> values; ///< empty for models that were not read or are not MLA
};

/// How many values are of each kind; they add up to the number of rules.
struct EngineCounts {
  int agree = 0;
  int differ = 0;
  int fail = 0;
  int not_taken = 0; ///< the engine does not know the model or the format
};

/// Applies the rules to one model.
[[nodiscard]] EngineComparison compare_engines(const Inspection& inspection,
                                               std::span<const engines::EngineRule* const> rules);

[[nodiscard]] EngineCounts count_engines(const EngineComparison& comparison);

} // namespace mla_scale::report
