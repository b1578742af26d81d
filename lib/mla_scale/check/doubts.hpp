#pragma once

#include <mla_scale/check/check.hpp>

namespace mla_scale::check {

/// Makes a verdict inconclusive where the capture itself is in doubt, and says why: an input that
/// is all zero, an out without elements, or a mismatch of float8 tensors whose scales were not
/// saved.
void add_doubts(Check& check);

} // namespace mla_scale::check
