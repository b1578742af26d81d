#pragma once

#include <mla_scale/audit/check.hpp>

#include <vector>

namespace mla_scale::audit {

/// What the files of one directory say about its `index`-th model: the other configs in `models`,
/// the safetensors headers, generation_config.json and hf_quant_config.json. `names` are all names
/// in the directory, sorted. Empty for anything but a config.json and params.json with MLA. Weights
/// are never read.
[[nodiscard]] std::vector<Finding> check_across_files(const std::vector<model::LoadedModel>& models,
                                                      std::size_t index,
                                                      const std::vector<std::string>& names,
                                                      const RuleFilter& filter);

} // namespace mla_scale::audit
