#pragma once

#include <mla_scale/diagnose/report.hpp>

#include <string>

namespace mla_scale::report {

/// What an explanation was fitted with: "softmax_scale 0.04166667, ratio 0.3081".
[[nodiscard]] std::string parameters_of(const diagnose::Finding& finding);

} // namespace mla_scale::report
