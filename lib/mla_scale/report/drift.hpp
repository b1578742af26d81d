#pragma once

#include <mla_scale/audit/audit.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::report {

/// "config.json:12:5"; the path alone where the position is not known.
[[nodiscard]] std::string place(std::string_view path, const Position& position);

/// What has drifted, as a sentence without its place.
[[nodiscard]] std::string drift_sentence(const audit::Drift& drift);

/// What is the matter with an entry of the baseline, as a sentence.
[[nodiscard]] std::string stale_sentence(const audit::StaleEntry& entry);

/// One sentence for the engines that the snapshot does not know, one for those that are gone.
[[nodiscard]] std::vector<std::string> sentences(const audit::EngineChanges& changes);

} // namespace mla_scale::report
