#pragma once

#include <mla_scale/json/writer.hpp>

namespace mla_scale::report {

/// {"schema_version": 1, "tool": {...}, — with the object left open, as every JSON report starts.
void begin_report(json::Writer& writer);

} // namespace mla_scale::report
