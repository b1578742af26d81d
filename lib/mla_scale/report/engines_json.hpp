#pragma once

#include <mla_scale/report/engine_comparison.hpp>

#include <span>
#include <string>

namespace mla_scale::report {

/// The JSON report of `engines`: the model objects of `inspect`, each with
/// engines: [{id, name, versions, prefill, decode, cos_sin_factor, agrees, error, because, source,
/// certainty}] and engine_counts.
[[nodiscard]] std::string engines_json(std::span<const EngineComparison> comparisons);

} // namespace mla_scale::report
