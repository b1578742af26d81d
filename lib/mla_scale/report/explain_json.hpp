#pragma once

#include <mla_scale/explain/entry.hpp>

#include <span>
#include <string>

namespace mla_scale::report {

/// {schema_version, tool, entries: [{id, kind, title, sections: [{label, text}]}]}; without
/// sections when only a list is wanted.
[[nodiscard]] std::string explain_json(std::span<const explain::Entry* const> entries,
                                       bool with_sections);

} // namespace mla_scale::report
