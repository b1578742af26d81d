#pragma once

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/report.hpp>

#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// Rows that are wrong where others are right, with what they have in common.
struct AffectedPart {
  std::vector<std::size_t> rows; ///< of the sample
  std::string text;              ///< "rows 96 and later", "sequence 1", "heads 2, 3"
};

/// Ways to cut the context's rows so that those outside are right; empty when the error is
/// everywhere.
[[nodiscard]] std::vector<AffectedPart> affected_parts(const Context& context);

/// tail.uninitialised when the error is a tail of rows, columns or heads; else the text and the map
/// of where it sits.
void describe_unexplained(const Context& context, Report& report);

} // namespace mla_scale::diagnose
