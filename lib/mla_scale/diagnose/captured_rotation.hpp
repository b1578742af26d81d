#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/rotary.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <string>
#include <vector>

namespace mla_scale::diagnose {

class BeforeRope;

/// The rotation that the captured q went through, and whether it is known.
struct CapturedRotation {
  Rotation rotation;
  bool known = false;
};

/// The model's rotation, unless another one gives the captured q and the model's does not: a bug
/// before the capture is not one of attention.
[[nodiscard]] CapturedRotation captured_rotation(const BeforeRope& before,
                                                 const Expectation& expectation);

/// One line each for q and k when their rope part does not follow from q_pre or k_pe_pre by the
/// model's RoPE, with the bug that gives it where one is known; or one when the columns of the two
/// do not meet. A positive factor on a vector is no contradiction: a temperature may be in q.
/// Nothing when the capture has not all of q_pre, k_pe_pre and positions.
[[nodiscard]] std::vector<std::string> rope_contradictions(const reference::Problem& problem,
                                                           const tensor::Capture& capture,
                                                           const Expectation& expectation);

} // namespace mla_scale::diagnose
