#pragma once

#include "diagnosed.hpp"

#include <mla_scale/diagnose/explanation.hpp>

#include <string>
#include <vector>

/// Records of what the diagnosis weighed, as they were when last read. That it names the right bug
/// is the other tests' business: these numbers are our own and prove nothing. They show whom a
/// changed cost, grid or margin moves, where the answer stays the same.
namespace simulator {

/// Everything of a candidate that ranks it.
std::string words_of(const mla_scale::diagnose::Explanation& explanation);

/// A report as lines: answer, findings, what was considered, the map.
std::vector<std::string> lines_of(const mla_scale::diagnose::Report& report);

/// Compares with the block `name` of testdata/diagnosis/FILE.txt; numbers may differ as compilers
/// and processors make them. With MLA_SCALE_BLESS=1 in the environment the block is written anew:
/// read the diff before it is committed.
void check_record(const std::string& file, const std::string& name,
                  const std::vector<std::string>& lines);

} // namespace simulator
