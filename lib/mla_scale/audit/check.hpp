#pragma once

#include <mla_scale/audit/filter.hpp>
#include <mla_scale/audit/finding.hpp>
#include <mla_scale/model/load.hpp>

#include <vector>

namespace mla_scale::audit {

/// What the rules say about one config, in the order of rule ids. Looks at no other file.
[[nodiscard]] std::vector<Finding> check_config(const model::MlaConfig& config,
                                                const RuleFilter& filter = {});

/// The finding (MLA9xx) that a failure to read an input makes.
[[nodiscard]] Finding input_finding(const Error& error);

/// A finding of a rule at a hit.
[[nodiscard]] Finding make_finding(const Rule& rule, Hit hit, const std::string& path);

} // namespace mla_scale::audit
