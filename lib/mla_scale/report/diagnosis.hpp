#pragma once

#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/json/writer.hpp>

#include <string>

namespace mla_scale::report {

/// Members of `check`'s object: "diagnosis": [{id, title, parameters, residual_ratio, evidence,
/// see}], "notes": the same rows, "not_identifiable": [{id, reason, needs}], and when nothing
/// explains a mismatch "unexplained": {text, map}.
void write_diagnosis(json::Writer& writer, const diagnose::Report& report);

/// Lines for a person: the answer on one line that can be pasted, then its rivals, notes, and where
/// the error sits when nothing explains it. Empty for a healthy capture without notes.
[[nodiscard]] std::string diagnosis_text(const diagnose::Report& report);

/// All that the table says about one hypothesis; what `explain` prints.
[[nodiscard]] std::string hypothesis_text(const diagnose::Hypothesis& hypothesis);

} // namespace mla_scale::report
