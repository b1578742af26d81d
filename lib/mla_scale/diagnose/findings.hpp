#pragma once

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/explanation.hpp>
#include <mla_scale/diagnose/report.hpp>

#include <string>

namespace mla_scale::diagnose {

/// Appends a finding for each part of an explanation, whose evidence ends in `where`; none whose
/// identifier the report has.
void append_findings(const Explanation& explanation, const std::string& where, Report& report);

/// The other names of the first finding's scale: no capture of this model can tell them apart.
/// \pre a finding
void append_ties(const Expectation& expectation, Report& report);

/// precision.bf16_logits, of a healthy report whose rows are as a kernel leaves them that rounds
/// logits to the dtype.
void note_precision(const Explanation& expected, bool bf16, Report& report);

} // namespace mla_scale::diagnose
